/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What to do with a packet. Read this first.
 *
 * A decision needs the parsed packet and the flow table, not the packet's bytes. It is the flow that the packet
 * follows, whose translation the hook applies; or NULL, and a reason in the verdict tells whether the packet is
 * left alone, dropped or answered. tc decides about every packet, XDP only follows flows that tc has made.
 */
#ifndef XFWD_DECIDE_H
#define XFWD_DECIDE_H

#include "arrival.h"
#include "claim.h"
#include "fragment.h"
#include "here.h"
#include "local.h"
#include "masquerade.h"
#include "others.h"
#include "route.h"
#include "select.h"

/* The packet is not ours to change. */
static __always_inline struct flow *leave(struct verdict *v, enum reason reason)
{
	v->reason = reason;
	return NULL;
}

/* The packet goes where its flow goes. A flow that translates nothing leaves it as it is. */
static __always_inline struct flow *follow(struct __sk_buff *skb, struct scratch *s,
					   struct flow *flow, __u32 ifindex, bool arriving,
					   __u64 time)
{
	s->verdict.forward = flow->forward;
	s->verdict.backend = flow->backend;
	s->verdict.reverse = flow->flags & FLOW_REVERSE;
	if (arriving && (flow->flags & FLOW_ELSEWHERE)) {
		int reason;

		if (is_source_routed(skb, s))
			return leave(&s->verdict, REASON_SOURCE_ROUTED);
		reason = prepare_to_leave(skb, s, flow, ifindex, time);
		if (unlikely(reason != REASON_NONE))
			return leave(&s->verdict, reason);
	}
	return flow;
}

/*
 * Makes scratch->flow for the packet there. Where the target knows the tuple already, from a client that uses
 * one source port for the frontend and for the target itself, the later of the two gets another source port. So does a
 * masqueraded flow whose client's port is taken, or not one of ours to take. Returns REASON_NONE, or the reason why there is
 * no such flow. A global function, which the verifier checks once.
 */
__noinline int create_flow(struct __sk_buff *skb)
{
	struct scratch *s = scratch();
	enum claim claim = CLAIM_TAKEN;
	struct flow *flow;

	if (!s)
		return REASON_FLOW_INSERT;
	flow = &s->flow;
	flow->last_seen = now();
	flow->opened = setup_clock();
	flow->brief = flow->forward && s->packet.tuple.protocol == IPPROTO_UDP &&
		      bpf_ntohs(s->packet.tuple.destination_port) < FIRST_SOURCE_PORT;
	/* A socket that serves the tuple already was there before we were. Without SYN it is a connection that we forgot,
	 * and the socket is its own.
	 */
	if (may_keep_source_port(s) && (!flow->forward || (flow->flags & FLOW_ELSEWHERE) ||
					!(s->packet.tcp_flags & TCP_FLAG_SYN) ||
					tcp_socket_state(skb, &flow->to) != BPF_TCP_ESTABLISHED))
		claim = flow_claim(false);
	/* A target that still remembers the connection before takes another one of the same client. */
	if (claim == CLAIM_TAKEN && s->verdict.reopened_port) {
		flow->to.source_port = s->verdict.reopened_port;
		claim = flow_claim(false);
	}
	for (int i = 0; claim == CLAIM_TAKEN && i < SOURCE_PORT_TRIES; i++)
		claim = claim_random_port(i >= SOURCE_PORT_TRIES - PRESSING_TRIES);
	if (unlikely(claim == CLAIM_TAKEN) && flow->forward)
		claim = claim_other_address();
	if (claim == CLAIM_TAKEN)
		return REASON_NO_SOURCE_PORT;
	s->verdict.followed = false;
	if (claim == CLAIM_FAILED || !flow_insert(s))
		return REASON_FLOW_INSERT;
	return REASON_NONE;
}

/*
 * The flow of a client that talks to a target itself, by a port with these flags. It claims its tuple, and that is all
 * it does. Targets elsewhere that never see a client's address need no such claims, and are not known by their address.
 */
static __always_inline struct flow *decide_direct(struct __sk_buff *skb, struct scratch *s,
						  __u8 flags)
{
	__u8 address = address_flags(&s->packet.tuple.destination);
	int reason;

	if (!((address & ADDRESS_LOCAL) && (flags & PORT_TARGET)) &&
	    !((address & ADDRESS_TARGET) && (flags & PORT_ELSEWHERE)))
		return leave(&s->verdict, REASON_DIRECT);
	flow_begin(s);
	reason = create_flow(skb);
	if (reason != REASON_NONE)
		return leave(&s->verdict, reason);
	return &s->flow;
}

/* A packet of somebody else's conversation, which gets a flow for what comes after it. */
static __always_inline struct flow *decide_other(struct scratch *s, bool leaving)
{
	return note_conversation(s, leaving) ? &s->flow : leave(&s->verdict, REASON_DIRECT);
}

/*
 * What leaves this host and follows no flow: its own, or forwarded and perhaps translated by netfilter. Where a flow of ours
 * to the same target has its tuple, it gets another source port.
 */
static __always_inline struct flow *decide_leaving(struct __sk_buff *skb, struct scratch *s,
						   __u32 ifindex, __u8 from, __u8 to)
{
	struct tuple answer = tuple_reversed(&s->packet.tuple);
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	bool reset = s->packet.tcp_flags & TCP_FLAG_RST;
	struct flow_entry holder;
	bool others;
	int reason;

	/* What leaves by the port of a bridge has met us at the bridge, or is not this host's: it was sent from port to port. */
	if (device && device->network_ifindex != ifindex)
		return leave(&s->verdict, REASON_NO_FLOW);
	if ((to & PORT_ELSEWHERE) && meets_target(s)) {
		holder = flow_find(&answer);
		/* What a client's own flow has made of its packet when that came, or has the tuple of such a packet. */
		others = (holder.flow && !holder.flow->forward) || flow_find(&s->packet.tuple).flow;
		/* Left as it is, the target would take it for that of the client who has the tuple. */
		if (holder.flow && holder.flow->forward && (others || reset) &&
		    flow_is_current(&holder, now())) {
			s->verdict.forward = holder.flow->forward;
			return leave(&s->verdict, REASON_IMPOSTOR);
		}
		if (!reset) {
			if (others)
				return leave(&s->verdict, REASON_DIRECT);
			flow_begin(s)->leaving = true;
			reason = create_flow(skb);
			if (reason != REASON_NONE)
				return leave(&s->verdict, reason);
			return &s->flow;
		}
	}
	if ((from & PORT_ANY_FRONTEND) && answers_meet_frontend(skb, ifindex, from))
		return decide_other(s, true);
	return leave(&s->verdict, from & PORT_TARGET ? REASON_NO_FLOW : REASON_NO_FRONTEND);
}

/*
 * Fills in what scratch->flow needs to reach a target elsewhere. Nothing that the kernel would not forward may be
 * forwarded by us: not from addresses that cannot be a client's, which could be answered nowhere.
 */
static __always_inline int plan_elsewhere(struct __sk_buff *skb, struct scratch *s,
					  const struct target *target, __u32 ifindex)
{
	const struct tuple *t = &s->packet.tuple;
	struct flow *flow = &s->flow;
	int reason;

	if (!address_may_send(&t->source))
		return REASON_SPOOFED;
	if (is_source_routed(skb, s))
		return REASON_SOURCE_ROUTED;
	flow->flags |= FLOW_ELSEWHERE;
	reason = prepare_to_leave(skb, s, flow, ifindex, now());
	/* As in the kernel, before a sender is told of what keeps its packet from leaving. */
	if (flow->hop.ifindex && !comes_from_its_source(skb, ifindex, flow->hop.ifindex))
		return REASON_SPOOFED;
	if (reason == REASON_NONE && must_masquerade(target, flow, t, ifindex))
		flow->to.source = masquerade_address(target, t, flow->hop.ifindex);
	if (address_is_zero(&flow->to.source))
		return REASON_NO_LOCAL_ADDRESS;
	return reason;
}

/*
 * Fills in scratch->flow for the first packet of a client to a frontend. Returns REASON_NONE, or the reason why
 * there is no such flow. A global function, which the verifier checks once.
 */
__noinline int plan_flow(struct __sk_buff *skb, __u32 ifindex, __u32 flags)
{
	struct scratch *s = scratch();
	const struct tuple *t;
	struct target target = {};
	struct flow *flow;
	bool with_address;
	__u32 found;
	int reason;

	if (!s)
		return REASON_NO_FRONTEND;
	t = &s->packet.tuple;
	flow = flow_begin(s);
	flow->arrives_by = ifindex;
	s->asked = *t;
	found = frontend_of_asked(ifindex, flags);
	if (!found)
		return REASON_NO_FRONTEND;
	flow->forward = found >> FRONTEND_ID_SHIFT;
	with_address = found & FRONTEND_WITH_ADDRESS;
	if (address_is_loopback(&t->destination))
		return REASON_LOOPBACK;
	if (!with_address && !destination_is_here(skb, t, ifindex))
		return REASON_NOT_THIS_HOST;
	reason = may_open(skb, s);
	if (reason != REASON_NONE)
		return reason;
	reason = select_target(flow->forward, t, false, &target);
	if (reason != REASON_NONE)
		return reason;
	flow->backend = target.backend;
	flow->generation = target.generation;
	if (target.balance == BALANCE_LEAST_CONNECTIONS)
		flow->flags |= FLOW_COUNTED;
	flow->to.destination_port = target.port;
	if (!address_is_zero(&target.address))
		flow->to.destination = target.address;
	else
		reason = plan_here(skb, ifindex,
				   !with_address || address_is_known_local(&t->destination));
	if (reason != REASON_NONE)
		return reason;
	if (!address_is_zero(&target.address) && !address_is_known_local(&target.address))
		return plan_elsewhere(skb, s, &target, ifindex);
	return REASON_NONE;
}

/* The first packet of a client to a frontend. */
static __always_inline struct flow *decide_new(struct __sk_buff *skb, struct scratch *s,
					       __u32 ifindex, __u8 flags)
{
	int reason = plan_flow(skb, ifindex, flags);
	struct flow *made = NULL;

	if (reason == REASON_NO_FRONTEND && (flags & PORT_ANY_TARGET))
		return decide_direct(skb, s, flags);
	if (reason == REASON_NO_FRONTEND || reason == REASON_NO_FLOW)
		return leave(&s->verdict, reason);
	if (reason == REASON_DIRECT)
		return decide_other(s, false);
	s->verdict.forward = s->flow.forward;
	s->verdict.backend = s->flow.backend;
	if (reason == REASON_NONE)
		reason = create_flow(skb);
	if (reason != REASON_NONE)
		return leave(&s->verdict, reason);
	if (likely(!s->verdict.followed)) {
		count_opened(s->flow.forward, s->flow.backend);
		count_connection(&s->flow, 1);
	}
	/* What the hook notes of the next hop is for XDP, which looks in the table. */
	if (s->flow.hop.xdp)
		made = bpf_map_lookup_elem(&flows_transitory, &s->packet.tuple);
	return made ? made : &s->flow;
}

/* Whether a client uses the port of a closed connection for a new one, which it may do at once. The new one is
 * decided about anew: there may be another forward by now.
 */
static __always_inline bool reopens(const struct flow *flow, const struct packet *p)
{
	return (p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN &&
	       flow_is_closed(flow);
}

/* Whether a client opens a connection anew whose flow is that of a conversation of others which has ended, and we have not
 * seen it end: it has been silent, and no socket has it.
 */
static __always_inline bool ended_unseen(struct __sk_buff *skb, const struct flow_entry *entry,
					 const struct packet *p, __u64 time)
{
	return entry->established && !entry->flow->forward &&
	       (p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN &&
	       elapsed(time, entry->flow->last_seen) > tcp_transitory_timeout &&
	       !socket_has(skb, &p->tuple);
}

/* The flow that the packet in scratch belongs to, if it still stands. An error about one that left when it arrived may
 * come from this host.
 */
static __always_inline struct flow *current_flow(struct __sk_buff *skb, struct scratch *s,
						 __u32 ifindex, bool arriving, __u64 time)
{
	const struct packet *p = &s->packet;
	struct flow_entry entry = flow_find(&p->tuple);
	bool current;

	if (unlikely(!entry.flow))
		return NULL;
	if (!arriving && p->kind == PACKET_TRANSPORT && unlikely(!flow_leaves(entry.flow)))
		return NULL;
	if (unlikely(!entry.established && (entry.flow->flags & FLOW_SHADOW))) {
		flow_unshadow(&p->tuple, entry.flow);
		entry = flow_find(&p->tuple);
		if (!entry.flow)
			return NULL;
	}
	current = flow_is_current(&entry, time);
	/* An error may come from any router. */
	if (arriving && current && p->kind == PACKET_TRANSPORT &&
	    unlikely(!flow_comes_by(skb, s, &p->tuple, entry.flow, ifindex))) {
		s->verdict.forward = entry.flow->forward;
		s->verdict.wrong_device = true;
		return NULL;
	}
	if (unlikely(!current || reopens(entry.flow, p) || ended_unseen(skb, &entry, p, time))) {
		s->verdict.reopened_port = entry.flow->to.source_port;
		flow_delete(&p->tuple, entry.flow);
		return NULL;
	}
	if (unlikely(p->kind == PACKET_ICMP_ERROR)) {
		if (!flow_may_fail())
			return NULL;
	} else if (unlikely(flow_track(&entry, p, time))) {
		entry = flow_find(&p->tuple);
	}
	return entry.flow;
}

/*
 * A packet that has ports, or quotes one that has. What a target on this host sends is met on its way out; what
 * one elsewhere sends arrives like what clients send. What others send on its way out is met where it could be taken for
 * ours, or its answers could.
 */
static __always_inline struct flow *decide_transport(struct __sk_buff *skb, struct scratch *s,
						     __u32 ifindex, bool arriving)
{
	const struct packet *p = &s->packet;
	__u8 from = port_flags(p->tuple.protocol, p->tuple.source_port);
	__u8 to = port_flags(p->tuple.protocol, p->tuple.destination_port);
	__u8 from_ours = arriving ? PORT_ELSEWHERE : PORT_TARGET | PORT_ANY_FRONTEND;
	__u8 to_ours =
		arriving ? PORT_ANY_FRONTEND | PORT_ANY_TARGET | PORT_LINGERING : PORT_ELSEWHERE;
	struct flow *flow;
	__u64 time;

	/* This host may have failed to reach a target elsewhere, and tell the client so. */
	if (!arriving && p->kind == PACKET_ICMP_ERROR)
		from_ours |= PORT_ELSEWHERE;
	if (!(from & from_ours) && !(to & to_ours))
		return leave(&s->verdict, REASON_NO_FRONTEND);
	time = now();
	flow = current_flow(skb, s, ifindex, arriving, time);
	if (likely(flow))
		return follow(skb, s, flow, ifindex, arriving, time);
	if (unlikely(s->verdict.wrong_device))
		return leave(&s->verdict, REASON_WRONG_DEVICE);
	if (p->kind == PACKET_ICMP_ERROR)
		return leave(&s->verdict, REASON_ICMP_UNRELATED);
	if (!arriving)
		return decide_leaving(skb, s, ifindex, from, to);
	if (to & PORT_ANY_FRONTEND)
		return decide_new(skb, s, ifindex, to);
	if (to & PORT_ANY_TARGET)
		return decide_direct(skb, s, to);
	return leave(&s->verdict, to & PORT_LINGERING ? REASON_NO_FRONTEND : REASON_NO_FLOW);
}

/* A later fragment of a datagram has no ports: it goes where its first fragment went. */
static __always_inline struct flow *decide_fragment(struct __sk_buff *skb, struct scratch *s,
						    __u32 ifindex, bool arriving)
{
	struct fragment *f = fragment_find(&s->packet);
	struct flow_entry entry = {};

	if (f)
		entry = flow_find(&f->key);
	if (!entry.flow)
		return leave(&s->verdict, REASON_FRAGMENT_EARLY);
	if (arriving && unlikely(!flow_comes_by(skb, s, &f->key, entry.flow, ifindex))) {
		s->verdict.forward = entry.flow->forward;
		return leave(&s->verdict, REASON_WRONG_DEVICE);
	}
	return follow(skb, s, entry.flow, ifindex, arriving, now());
}

/*
 * The packet in scratch, which was received (arriving) by the device whose IP layer has the index `ifindex`, or is
 * about to be sent there: returns the flow that it follows, or NULL.
 */
static __always_inline struct flow *decide(struct __sk_buff *skb, struct scratch *s, __u32 ifindex,
					   bool arriving)
{
	struct flow *flow;

	s->verdict.forward = 0;
	s->verdict.backend = 0;
	s->verdict.reverse = false;
	s->verdict.renewed = false;
	s->verdict.own_source = false;
	s->verdict.wrong_device = false;
	s->verdict.reopened_port = 0;
	if (unlikely(s->packet.kind == PACKET_FRAGMENT))
		return decide_fragment(skb, s, ifindex, arriving);
	flow = decide_transport(skb, s, ifindex, arriving);
	if (flow && unlikely(s->packet.first_fragment))
		fragment_remember(&s->packet);
	return flow;
}

#endif
