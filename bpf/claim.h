/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How a new flow gets the tuple that its target sees: it claims that, and whoever has it may have to give it. See flow.h. */
#ifndef XFWD_CLAIM_H
#define XFWD_CLAIM_H

#include "flow.h"

/*
 * Tells the LRU that a new entry is in use. It would be the first to go otherwise, before all that have ever been looked
 * up, the shadows of established flows among them.
 */
static __always_inline void flow_is_used(const struct tuple *key)
{
	bpf_map_lookup_elem(&flows_transitory, key);
}

enum claim {
	CLAIM_MADE,
	CLAIM_TAKEN,  /* by another flow */
	CLAIM_FAILED, /* the kernel refused */
};

/*
 * Whether a flow gives its tuple to another flow, which is of the same client or of another one. With `pressing` there is no
 * other tuple left.
 *
 * A flow that no longer stands does. One that has closed gives it to the same client at once: the target then sees a client
 * that uses its port again. To another client it does so when the target has forgotten the connection (TIME_WAIT), or at once
 * if there is no other and the target has nothing to remember, since it closed second. But where a RST came in the client's
 * name, the client may be there and silent (RFC 7857 2.2).
 *
 * A flow that nobody has answered or confirmed may be a forged one, and does so after a while.
 */
static __always_inline bool flow_yields(const struct flow_entry *holder, bool same_client,
					bool pressing, __u64 time)
{
	const struct flow *flow = holder->flow;
	__u64 silent = elapsed(time, flow->last_seen);
	bool translates = flow->forward || flow->leaving;

	if (!flow_is_current(holder, time))
		return true;
	if (flow_is_closed(flow)) {
		bool reverse = flow->flags & FLOW_REVERSE;

		if ((flow->flags & FLOW_RESET) && !(reverse && (flow->said.sent & FLOW_SENT_RESET)))
			return false;
		if (silent > tcp_time_wait)
			return true;
		return reverse &&
		       (same_client || (pressing && (flow->said.sent & FLOW_SENT_LAST_ACK) &&
					!(flow->said.sent & FLOW_SENT_FIN_FIRST)));
	}
	if (holder->established || (flow->flags & FLOW_SHADOW))
		return false;
	if (!(flow->flags & FLOW_ANSWERED) && !translates)
		return pressing || silent > unconfirmed_patience;
	if ((flow->flags & FLOW_ANSWERED) && flow->to.protocol == IPPROTO_UDP)
		return false;
	return pressing && silent > unconfirmed_patience;
}

/*
 * Claims the reverse tuple of scratch->flow, which is to be made for the packet there. A claim left by this
 * very flow, whose forward entry was forgotten, and one of a flow that yields are taken over.
 *
 * A flow that moves is in its new map before it leaves the old one, and we insert before we look: so a claim
 * in flows_established is never overlooked.
 *
 * A global function, which the verifier checks once and not for each of its callers' loops.
 */
__noinline int flow_claim(int pressing)
{
	struct scratch *s = scratch();
	struct tuple claim_key;
	struct flow *claim;
	bool same_client;

	if (!s)
		return CLAIM_FAILED;
	claim_key = tuple_reversed(&s->flow.to);
	/* The target would answer with what the client sends: from the frontend's port, to itself. */
	if (tuple_equal(&claim_key, &s->packet.tuple))
		return CLAIM_TAKEN;
	claim = &s->partner;
	flow_make_partner(&s->packet.tuple, &s->flow, claim);
	for (int i = 0; i < 2; i++) {
		long taken = table_insert(TABLE_TRANSITORY, &claim_key, claim);
		struct flow_entry holder = {
			.flow = bpf_map_lookup_elem(&flows_established, &claim_key),
			.established = true,
		};

		if (!holder.flow && !taken) {
			flow_is_used(&claim_key);
			return CLAIM_MADE;
		}
		if (!holder.flow) {
			holder.flow = bpf_map_lookup_elem(&flows_transitory, &claim_key);
			holder.established = false;
		} else if (!taken) {
			table_delete(TABLE_TRANSITORY, &claim_key);
		}
		if (!holder.flow)
			return CLAIM_FAILED;
		same_client = address_equal(&holder.flow->to.destination, &claim->to.destination) &&
			      holder.flow->to.destination_port == claim->to.destination_port;
		if (!tuple_equal(&holder.flow->to, &claim->to) &&
		    !flow_yields(&holder, same_client, pressing, claim->last_seen))
			return CLAIM_TAKEN;
		flow_delete(&claim_key, holder.flow);
	}
	return CLAIM_TAKEN;
}

/*
 * Where another CPU was faster with a packet of the same client, its flow becomes scratch->flow, for it may have another
 * backend or source port; the claim of ours is undone. False: there is none. A global function, which the verifier checks
 * once.
 */
__noinline int flow_follow_first(void)
{
	struct scratch *s = scratch();
	struct tuple claim_key, claim_to;
	struct flow *first;

	if (!s)
		return false;
	s->verdict.followed = true;
	first = flow_find(&s->packet.tuple).flow;
	if (flow_is_own(first, &s->flow.to))
		return true;
	claim_key = tuple_reversed(&s->flow.to);
	claim_to = tuple_reversed(&s->packet.tuple);
	flow_delete_own(&claim_key, &claim_to);
	if (first)
		s->flow = *first;
	return !!first;
}

/* Inserts the forward entry of scratch->flow, which has been claimed. */
static __always_inline bool flow_insert(const struct scratch *s)
{
	if (table_insert(TABLE_TRANSITORY, &s->packet.tuple, &s->flow))
		return flow_follow_first();
	flow_is_used(&s->packet.tuple);
	return true;
}

#endif
