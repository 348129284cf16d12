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
 * two, and another flow may have claimed its key since.
 *
 * Other CPUs work on the same flow meanwhile, and the LRU evicts what it likes. Between any two map operations this holds:
 *
 *  - A key is inserted where there is none, and never replaces another flow's. Only one's own entry is overwritten or
 *    deleted. A flow that finds its claim taken ends.
 *  - The claim is inserted before the forward entry, and a flow that moves is inserted into its new map before it is deleted
 *    from the old one. Each insertion is followed by a look-up: so of two CPUs with the same first packet the second finds the
 *    flow of the first, and follows it.
 *  - What a direction has told (said) is written by its own packets. Flags and times in the partner are copies, which the next
 *    packet that has something to tell makes right.
 *  - An entry that was looked up may go, and its memory become another flow's. For that the LRU must take what was used a moment
 *    ago, which it does only if everything else has been used since: a packet of a table much too small may then be sent wrong.
 *
 * test/packet/processors_test.go has packets of one flow meet the programs on two CPUs.
 *
 * Entries are in flows_transitory until the flow is confirmed, in flows_established until it closes, and
 * then in flows_transitory again. Both forget what was not used for longest, so a flood of half-open flows
 * pushes out only its like. The transitory entries of an established flow stay behind as shadows: what is
 * established is always looked for first, and closing need not insert them again.
 */
#ifndef XFWD_FLOW_H
#define XFWD_FLOW_H

#include "affinity.h"
#include "config.h"
#include "scratch.h"
#include "sequence.h"
#include "setup.h"
#include "stats.h"

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
	return (flow->flags & FLOW_RESET) || (flow->flags & FLOW_FINS) == FLOW_FINS;
}

static __always_inline __u64 flow_timeout(const struct flow_entry *entry)
{
	if (entry->flow->to.protocol == IPPROTO_UDP) {
		if (!(entry->flow->flags & FLOW_ANSWERED))
			return udp_one_way_timeout;
		return entry->flow->brief && !entry->established ? udp_brief_timeout :
								   udp_answered_timeout;
	}
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
	sequence_learn(&s->flow.said, &s->packet);
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
	sequence_turn(&partner->said, &flow->said);
}

/* An entry of a flow ends, whose partner has ended or never was. */
static __always_inline void flow_end(const struct tuple *key, const struct flow *flow)
{
	if (!flow_is_closed(flow))
		count_connection(flow, -1);
	table_delete(TABLE_ESTABLISHED, key);
	table_delete(TABLE_TRANSITORY, key);
}

/* Both entries go, from wherever they are. */
static __noinline int flow_delete(const struct tuple *key, const struct flow *flow)
{
	struct tuple partner_key, partner_to;

	if (!key || !flow)
		return 0;
	partner_key = tuple_reversed(&flow->to);
	partner_to = tuple_reversed(key);
	flow_delete_own(&partner_key, &partner_to);
	flow_end(key, flow);
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
		s->partner = *shadow;
		s->partner.last_seen = flow->last_seen;
	}
	s->flow = *flow;
	/* Another CPU may have been faster. */
	s->partner.flags &= ~FLOW_SHADOW;
	s->flow.flags &= ~FLOW_SHADOW;
	if (table_put(TABLE_ESTABLISHED, &partner_key, &s->partner))
		return 0;
	if (table_put(TABLE_ESTABLISHED, key, &s->flow)) {
		table_delete(TABLE_ESTABLISHED, &partner_key);
		return 0;
	}
	flow->flags |= FLOW_SHADOW;
	if (shadow)
		shadow->flags |= FLOW_SHADOW;
	return 0;
}

/* An established entry becomes a transitory one: where its shadow is, or was. `made` is what it is if it was forgotten. */
static __always_inline void flow_demote(const struct tuple *key, const struct flow *made)
{
	struct flow *shadow = bpf_map_lookup_elem(&flows_transitory, key);
	struct flow *there = bpf_map_lookup_elem(&flows_established, key);
	const struct flow *flow = there ? there : made;

	if (!tuple_equal(&flow->to, &made->to))
		return;
	if (flow_is_own(shadow, &flow->to)) {
		*shadow = *flow;
		shadow->last_seen = made->last_seen;
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
 * A shadow was found where an established entry should be, for the LRU has evicted that. The partner tells what it was, and it
 * is inserted again. Where the partner is gone too, the state of the flow is not known.
 */
static __noinline int flow_unshadow(const struct tuple *key, struct flow *flow)
{
	struct scratch *s = scratch();
	struct flow_entry partner;
	struct tuple partner_key;

	if (!key || !flow || !s)
		return 0;
	partner = flow_find_partner(key, flow, true);
	if (partner.flow && partner.established) {
		partner_key = tuple_reversed(&flow->to);
		flow_make_partner(&partner_key, partner.flow, &s->partner);
		s->partner.hop = flow->hop;
		s->partner.arrives_by = flow->arrives_by;
		if (!table_put(TABLE_ESTABLISHED, key, &s->partner))
			return 0;
	}
	flow->flags &= ~FLOW_SHADOW;
	flow->said.sent = 0;
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
		flow_end(key, flow);
		return 1;
	}
	flow_make_partner(key, flow, &s->partner);
	if (established)
		table_insert(TABLE_ESTABLISHED, &partner_key, &s->partner);
	else
		table_insert(TABLE_TRANSITORY, &partner_key, &s->partner);
	return 0;
}

/* The target has sent something, which both entries must know. */
static __always_inline void flow_is_answered(struct flow *flow, struct flow *partner)
{
	flow->flags |= FLOW_ANSWERED;
	if (partner)
		partner->flags |= FLOW_ANSWERED;
}

/* How a direction that has told `sent` has ended, FLOW_*. Without branches, for the verifier would follow each. */
static __always_inline __u8 flow_endings(__u8 sent, bool reverse)
{
	_Static_assert((int)FLOW_SENT_FIN == FLOW_FIN_FORWARD &&
			       FLOW_FIN_FORWARD << 1 == FLOW_FIN_REVERSE &&
			       (int)FLOW_SENT_RESET == FLOW_RESET << 1,
		       "what a direction has told becomes flags by shifts");

	return (sent & FLOW_SENT_FIN) << reverse | (sent & FLOW_SENT_RESET) >> 1;
}

/*
 * Follows the state of a flow of TCP by the packet in scratch. Returns whether it has moved from one map to the other. A
 * global function, which the verifier checks once.
 *
 * Both entries have the endings of both directions in their flags, where two CPUs may overwrite what the other one has
 * written. But each direction's packets note in its own entry what they have told; and after an ending each packet
 * comes here, and makes the flags right again.
 */
__noinline int flow_follow(int established, __u64 time)
{
	struct scratch *s = scratch();
	const struct packet *p;
	struct flow_entry partner;
	bool reverse, was_closed, fits;
	__u8 before, told, flags;
	struct flow *flow;

	if (!s)
		return 0;
	p = &s->packet;
	if (established)
		flow = bpf_map_lookup_elem(&flows_established, &p->tuple);
	else
		flow = bpf_map_lookup_elem(&flows_transitory, &p->tuple);
	if (!flow)
		return 0;
	reverse = flow->flags & FLOW_REVERSE;
	was_closed = flow_is_closed(flow);
	barrier();
	partner = flow_find_partner(&p->tuple, flow, established);
	s->own = flow->said;
	/* A shadow knows how far its flow had come when it was established. */
	if (partner.flow && (partner.established || !(partner.flow->flags & FLOW_SHADOW)))
		s->other = partner.flow->said;
	else
		__builtin_memset(&s->other, 0, sizeof(s->other));
	barrier();
	told = s->other.sent;
	fits = sequence_follow(reverse, established, was_closed);
	before = flow->said.sent;
	flow->said = s->own;
	if (!fits)
		return 0;
	if (partner.flow && s->other.sent != told)
		partner.flow->said = s->other;
	barrier();
	flags = flow->flags & ~flow_endings(before & ~s->own.sent, reverse);
	flags &= ~flow_endings(told & ~s->other.sent, !reverse);
	flags |= flow_endings(s->own.sent, reverse) | flow_endings(s->other.sent, !reverse);
	if (unlikely(flags != flow->flags))
		flow->flags = flags;
	if (partner.flow && unlikely((partner.flow->flags ^ flags) & FLOW_ENDINGS))
		partner.flow->flags =
			(partner.flow->flags & ~FLOW_ENDINGS) | (flags & FLOW_ENDINGS);
	if (unlikely(flow_is_closed(flow) != was_closed))
		count_connection(flow, was_closed ? 1 : -1);
	if (flow_is_closed(flow)) {
		if (established)
			flow_close(&p->tuple, flow, time);
		return established;
	}
	if (established)
		return false;
	if (reverse) {
		if (!(flags & FLOW_ANSWERED)) {
			count_setup(flow, p);
			flow_is_answered(flow, partner.flow);
		}
		return false;
	}
	if (!sequence_confirms(p, &s->other))
		return false;
	flow_establish(&p->tuple, flow);
	affinity_confirm(flow->forward, flow->backend, flow->generation);
	return true;
}

/* Follows a datagram of a flow that is not established. Returns whether it is now: both ends have spoken, and the client
 * again.
 */
static __noinline int flow_follow_datagram(const struct tuple *key, struct flow *flow)
{
	if (!key || !flow)
		return 0;
	if (!(flow->flags & FLOW_REVERSE)) {
		if (!(flow->flags & FLOW_ANSWERED))
			return false;
		flow_establish(key, flow);
		affinity_confirm(flow->forward, flow->backend, flow->generation);
		return true;
	}
	if (!(flow->flags & FLOW_ANSWERED))
		flow_is_answered(flow, flow_find_partner(key, flow, false).flow);
	return false;
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

	if (elapsed(time, flow->last_seen) > refresh_interval && keeps_alive(flow) &&
	    unlikely(flow_refresh(&p->tuple, flow, entry->established, time)))
		return true;
	if (p->tuple.protocol != IPPROTO_TCP)
		return !entry->established && flow_follow_datagram(&p->tuple, flow);
	if (likely(entry->established && sequence_is_plain(flow, p))) {
		sequence_advance(&flow->said, p);
		return false;
	}
	return flow_follow(entry->established, time);
}

/* Whether the ICMP error in scratch may be about a packet of the flow that its tuple finds. Of UDP there is no telling. A
 * global function, which the verifier checks once.
 */
__noinline int flow_may_fail(void)
{
	struct scratch *s = scratch();
	const struct flow *sender;
	struct flow_entry entry;

	if (!s)
		return false;
	if (s->packet.tuple.protocol != IPPROTO_TCP)
		return true;
	entry = flow_find(&s->packet.tuple);
	if (!entry.flow)
		return false;
	sender = flow_find_partner(&s->packet.tuple, entry.flow, entry.established).flow;
	return sender &&
	       sequence_is_on_its_way(s->packet.sequence, &sender->said, &entry.flow->said);
}

#endif
