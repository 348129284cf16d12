/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The flow table. A flow is a pair of entries, one for each direction, each keyed by the tuple that its
 * packets bear before translation:
 *
 *	forward  client -> frontend   becomes  client -> target
 *	reverse  target -> client     becomes  frontend -> client
 *
 * Given one entry, its partner is known: the key is the reverse of what the entry translates to, and what the
 * partner translates to is the reverse of the entry's key. Making a flow claims the reverse entry first
 * and never replaces one, which is what keeps two flows from looking the same to the target.
 *
 * An entry is a flow's own if it translates to what that flow's packets become: the kernel may have forgotten one of the
 * two, and another flow may have claimed its key since. Only what is missing, or one's own, is ever written or deleted. A
 * flow that finds its claim taken ends.
 *
 * Entries are in flows_transitory until the flow is confirmed, in flows_established until it closes, and
 * then in flows_transitory again. Both forget what was not used for longest, so a flood of half-open flows
 * pushes out only its like. The transitory entries of an established flow stay behind as shadows: what is
 * established is always looked for first, and closing need not insert them again.
 */
#ifndef XFWD_FLOW_H
#define XFWD_FLOW_H

#include "config.h"
#include "scratch.h"
#include "setup.h"
#include "stats.h"

/* How far a client may lag behind in acknowledging what the server sent, in bytes, and still confirm the
 * flow: more than a handshake needs, and a guess from outside hits it once in 4096 tries.
 */
#define CONFIRM_WINDOW (1 << 20)

#define FLOW_CLOSED (FLOW_FIN_FORWARD | FLOW_FIN_REVERSE)

struct flow_entry {
	struct flow *flow; /* NULL: none */
	bool established;
};

static __always_inline struct flow_entry flow_find(const struct tuple *key)
{
	struct flow_entry entry;

	entry.flow = bpf_map_lookup_elem(&flows_established, key);
	entry.established = entry.flow;
	if (unlikely(!entry.flow))
		entry.flow = bpf_map_lookup_elem(&flows_transitory, key);
	return entry;
}

static __always_inline void *flow_table(enum flow_table table)
{
	return table == TABLE_ESTABLISHED ? (void *)&flows_established : (void *)&flows_transitory;
}

/* Zero, or why there is no new entry. */
static __always_inline long table_insert(enum flow_table table, const struct tuple *key,
					 const struct flow *flow)
{
	long error = bpf_map_update_elem(flow_table(table), key, flow, BPF_NOEXIST);

	if (!error)
		count_inserted(table);
	return error;
}

/* Whether an entry that was found, or NULL, is one that translates to `to`. */
static __always_inline bool flow_is_own(const struct flow *found, const struct tuple *to)
{
	return found && tuple_equal(&found->to, to);
}

/* Like table_insert, but an entry of the same flow is replaced. */
static __always_inline long table_put(enum flow_table table, const struct tuple *key,
				      const struct flow *flow)
{
	if (!table_insert(table, key, flow))
		return 0;
	if (!flow_is_own(bpf_map_lookup_elem(flow_table(table), key), &flow->to))
		return -1;
	return bpf_map_update_elem(flow_table(table), key, flow, BPF_ANY);
}

static __always_inline void table_delete(enum flow_table table, const struct tuple *key)
{
	if (!bpf_map_delete_elem(flow_table(table), key))
		count_deleted(table);
}

/* Deletes the entry with a key from both tables, as far as it translates to `to`. */
static __always_inline void flow_delete_own(const struct tuple *key, const struct tuple *to)
{
	if (flow_is_own(bpf_map_lookup_elem(&flows_established, key), to))
		table_delete(TABLE_ESTABLISHED, key);
	if (flow_is_own(bpf_map_lookup_elem(&flows_transitory, key), to))
		table_delete(TABLE_TRANSITORY, key);
}

static __always_inline bool flow_is_closed(const struct flow *flow)
{
	return (flow->flags & FLOW_RESET) || (flow->flags & FLOW_CLOSED) == FLOW_CLOSED;
}

static __always_inline __u64 flow_timeout(const struct flow_entry *entry)
{
	if (entry->flow->to.protocol == IPPROTO_UDP)
		return entry->flow->flags & FLOW_ANSWERED ? udp_answered_timeout :
							    udp_one_way_timeout;
	return entry->established ? tcp_established_timeout : tcp_transitory_timeout;
}

/*
 * Whether a flow still stands: it has not timed out, and its backend is the one that it was made for. Flows
 * of a deleted forward end, but for established TCP, up to the last ACK: what a rule's removal leaves alone in
 * netfilter, too.
 */
static __always_inline bool flow_is_current(const struct flow_entry *entry, __u64 time)
{
	const struct flow *flow = entry->flow;
	struct backend *backend;

	if (elapsed(time, flow->last_seen) > flow_timeout(entry))
		return false;
	if (!flow->backend)
		return true;
	backend = bpf_map_lookup_elem(&backends, &flow->backend);
	if (!backend || backend->generation != flow->generation)
		return false;
	return backend->state != BACKEND_GONE ||
	       (flow->to.protocol == IPPROTO_TCP && (entry->established || flow_is_closed(flow)));
}

/* The entry of the other direction, if there is one and it really is this flow's. It is likely to be where
 * this one is, established or not, so it is looked for there first.
 */
static __always_inline struct flow_entry
flow_find_partner(const struct tuple *key, const struct flow *flow, bool established)
{
	struct tuple partner_key = tuple_reversed(&flow->to);
	struct tuple partner_to = tuple_reversed(key);
	struct flow_entry partner = {};

	if (!established)
		partner.flow = bpf_map_lookup_elem(&flows_transitory, &partner_key);
	if (!partner.flow || (partner.flow->flags & FLOW_SHADOW))
		partner = flow_find(&partner_key);
	if (!flow_is_own(partner.flow, &partner_to))
		partner.flow = NULL;
	return partner;
}

/* Makes scratch->flow one that translates nothing, for the packet there. */
static __always_inline struct flow *flow_begin(struct scratch *s)
{
	__builtin_memset(&s->flow, 0, sizeof(s->flow));
	s->flow.to = s->packet.tuple;
	return &s->flow;
}

/* The next hop of a new entry, and where its packets come from, is looked up by its first packet. */
static __always_inline void flow_make_partner(const struct tuple *key, const struct flow *flow,
					      struct flow *partner)
{
	*partner = *flow;
	partner->to = tuple_reversed(key);
	__builtin_memset(&partner->hop, 0, sizeof(partner->hop));
	partner->arrives_by = 0;
	partner->flags ^= FLOW_REVERSE;
}

/* Both entries go, from wherever they are. */
static __noinline int flow_delete(const struct tuple *key, const struct flow *flow)
{
	struct tuple partner_key, partner_to;

	if (!key || !flow)
		return 0;
	if (!flow_is_closed(flow))
		count_connection(flow, -1);
	partner_key = tuple_reversed(&flow->to);
	partner_to = tuple_reversed(key);
	flow_delete_own(&partner_key, &partner_to);
	table_delete(TABLE_ESTABLISHED, key);
	table_delete(TABLE_TRANSITORY, key);
	return 0;
}

/* Both entries of a transitory flow become established, and leave shadows. */
static __noinline int flow_establish(const struct tuple *key, struct flow *flow)
{
	struct scratch *s = scratch();
	struct tuple partner_key;
	struct flow *shadow;

	if (!key || !flow || !s)
		return 0;
	partner_key = tuple_reversed(&flow->to);
	flow_make_partner(key, flow, &s->partner);
	shadow = bpf_map_lookup_elem(&flows_transitory, &partner_key);
	/* It has lost its claim, which flow_refresh will find out. */
	if (shadow && !flow_is_own(shadow, &s->partner.to))
		return 0;
	if (shadow) {
		s->partner.hop = shadow->hop;
		s->partner.arrives_by = shadow->arrives_by;
	}
	if (table_put(TABLE_ESTABLISHED, &partner_key, &s->partner))
		return 0;
	if (table_put(TABLE_ESTABLISHED, key, flow)) {
		table_delete(TABLE_ESTABLISHED, &partner_key);
		return 0;
	}
	flow->flags |= FLOW_SHADOW;
	if (shadow)
		shadow->flags |= FLOW_SHADOW;
	return 0;
}

/* An established entry becomes a transitory one: where its shadow is, or was. */
static __always_inline void flow_demote(const struct tuple *key, const struct flow *flow)
{
	struct flow *shadow = bpf_map_lookup_elem(&flows_transitory, key);
	struct flow *there = bpf_map_lookup_elem(&flows_established, key);

	if (there && !flow_is_own(there, &flow->to))
		return;
	if (flow_is_own(shadow, &flow->to)) {
		shadow->last_seen = flow->last_seen;
		shadow->next = flow->next;
		shadow->flags = flow->flags;
		if (flow->hop.ifindex)
			shadow->hop = flow->hop;
	} else {
		table_put(TABLE_TRANSITORY, key, flow);
	}
	if (there)
		table_delete(TABLE_ESTABLISHED, key);
}

/* Both entries of an established flow, which has closed, become transitory. */
static __noinline int flow_close(const struct tuple *key, struct flow *flow, __u64 time)
{
	struct scratch *s = scratch();
	struct tuple partner_key;

	if (!key || !flow || !s)
		return 0;
	flow->last_seen = time;
	partner_key = tuple_reversed(&flow->to);
	flow_make_partner(key, flow, &s->partner);
	flow_demote(&partner_key, &s->partner);
	flow_demote(key, flow);
	return 0;
}

/*
 * A shadow was found where an established entry should be: the LRU has taken that. What is true is in the
 * partner, if that is left.
 */
static __noinline int flow_unshadow(const struct tuple *key, struct flow *flow)
{
	struct flow_entry partner;

	if (!key || !flow)
		return 0;
	flow->flags &= ~FLOW_SHADOW;
	partner = flow_find_partner(key, flow, true);
	if (partner.flow && partner.established) {
		flow->last_seen = partner.flow->last_seen;
		flow->flags = partner.flow->flags ^ FLOW_REVERSE;
	}
	return 0;
}

/* Proves that the partner is there, which also keeps the LRU from taking it, or puts it back. Returns whether the flow has
 * ended, for another one has claimed what its partner had.
 */
static __noinline int flow_refresh(const struct tuple *key, struct flow *flow, bool established,
				   __u64 time)
{
	struct scratch *s = scratch();
	struct tuple partner_key;
	struct flow_entry found;

	if (!key || !flow || !s)
		return 0;
	flow->last_seen = time;
	found = flow_find_partner(key, flow, established);
	if (found.flow) {
		found.flow->last_seen = time;
		return 0;
	}
	partner_key = tuple_reversed(&flow->to);
	if (flow_find(&partner_key).flow) {
		if (!flow_is_closed(flow))
			count_connection(flow, -1);
		table_delete(TABLE_ESTABLISHED, key);
		table_delete(TABLE_TRANSITORY, key);
		return 1;
	}
	flow_make_partner(key, flow, &s->partner);
	if (established)
		table_insert(TABLE_ESTABLISHED, &partner_key, &s->partner);
	else
		table_insert(TABLE_TRANSITORY, &partner_key, &s->partner);
	return 0;
}

/* Notes on both entries of a flow what both must know. */
static __noinline int flow_mark(const struct tuple *key, struct flow *flow, bool established,
				__u8 flags, __u32 next)
{
	struct flow_entry partner;

	if (!key || !flow)
		return 0;
	flow->flags |= flags;
	partner = flow_find_partner(key, flow, established);
	if (partner.flow) {
		partner.flow->flags |= flags;
		partner.flow->next = next;
	}
	return 0;
}

/* Whether a packet from the client shows that it received what the target sent. */
static __always_inline bool flow_is_confirmed(const struct flow *flow, const struct packet *p)
{
	if (!(flow->flags & FLOW_ANSWERED))
		return false;
	if (flow->to.protocol == IPPROTO_UDP)
		return true;
	return (p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK)) == TCP_FLAG_ACK &&
	       flow->next - p->acknowledged <= CONFIRM_WINDOW;
}

/*
 * Whether a packet of this entry keeps its flow alive. UDP of others lives as long as this host's side speaks (RFC 4787,
 * REQ-6): a client that goes on asking a server which is gone must come to the forward in the end.
 */
static __always_inline bool keeps_alive(const struct flow *flow)
{
	return flow->forward || flow->to.protocol == IPPROTO_TCP ||
	       !(flow->flags & FLOW_REVERSE) == !!flow->leaving;
}

/*
 * Follows the state of the flow that a packet belongs to. Returns whether the flow has moved from one map to the other, or
 * has ended: then `entry` is what it has left, which may be another flow's at once.
 */
static __always_inline bool flow_track(const struct flow_entry *entry, const struct packet *p,
				       __u64 time)
{
	struct flow *flow = entry->flow;
	bool reverse = flow->flags & FLOW_REVERSE;
	__u8 closing = 0;

	if (elapsed(time, flow->last_seen) > refresh_interval && keeps_alive(flow) &&
	    unlikely(flow_refresh(&p->tuple, flow, entry->established, time)))
		return true;

	if (p->tcp_flags & TCP_FLAG_RST)
		closing |= FLOW_RESET;
	if (p->tcp_flags & TCP_FLAG_FIN)
		closing |= reverse ? FLOW_FIN_REVERSE : FLOW_FIN_FORWARD;
	if (unlikely(closing & ~flow->flags)) {
		bool was_closed = flow_is_closed(flow);

		flow_mark(&p->tuple, flow, entry->established, closing,
			  p->sequence + p->sequence_length);
		if (!was_closed && flow_is_closed(flow))
			count_connection(flow, -1);
	}
	if (entry->established) {
		if (likely(!flow_is_closed(flow)))
			return false;
		flow_close(&p->tuple, flow, time);
		return true;
	}
	if (flow_is_closed(flow))
		return false;
	if (!reverse && flow_is_confirmed(flow, p)) {
		flow_establish(&p->tuple, flow);
		return true;
	}
	if (reverse && !(flow->flags & FLOW_ANSWERED))
		count_setup(flow, p);
	/* UDP needs telling but once. */
	if (reverse && (p->tuple.protocol == IPPROTO_TCP || !(flow->flags & FLOW_ANSWERED)))
		flow_mark(&p->tuple, flow, false, FLOW_ANSWERED, p->sequence + p->sequence_length);
	return false;
}

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

/* Whether the flow that has a tuple may lose it to another: one that no longer stands, and one that has closed, at once
 * (`reusing`) or when its target has forgotten it.
 */
static __always_inline bool flow_yields(const struct flow_entry *holder, bool reusing, __u64 time)
{
	if (!flow_is_current(holder, time))
		return true;
	return flow_is_closed(holder->flow) &&
	       (reusing || elapsed(time, holder->flow->last_seen) > tcp_time_wait);
}

/*
 * Claims the reverse tuple of scratch->flow, which is to be made for the packet there. A claim left by this
 * very flow, whose forward entry was forgotten, and one of a flow that yields are taken over. With `reusing` all
 * closed flows do: where the client has chosen the port, the target makes of it what it makes of a client that uses
 * its port again.
 *
 * A flow that moves is in its new map before it leaves the old one, and we insert before we look: so a claim
 * in flows_established is never overlooked.
 *
 * A global function, which the verifier checks once and not for each of its callers' loops.
 */
__noinline int flow_claim(int reusing)
{
	struct scratch *s = scratch();
	struct tuple claim_key;
	struct flow *claim;

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
		if (!tuple_equal(&holder.flow->to, &claim->to) &&
		    !flow_yields(&holder, reusing, claim->last_seen))
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
