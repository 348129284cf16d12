/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What to do with a packet. Read this first.
 *
 * A decision needs the parsed packet and the flow table, not the packet's bytes, so it does not know whether
 * tc or XDP asks. It is the tuple that the packet gets, which the hook applies; or NULL, and a reason in the
 * verdict tells whether the packet is left alone or dropped.
 */
#ifndef XFWD_DECIDE_H
#define XFWD_DECIDE_H

#include "flow.h"
#include "fragment.h"
#include "local.h"
#include "select.h"

/* How many source ports are tried for a client whose own is taken. */
#define SOURCE_PORT_TRIES 16
/* Source ports given instead are never well-known ones (RFC 4787, REQ-3). */
#define FIRST_SOURCE_PORT 1024

/* The packet is not ours to change. */
static __always_inline const struct tuple *leave(struct verdict *v, enum reason reason)
{
	v->reason = reason;
	return NULL;
}

/* The packet goes where its flow goes. A flow that translates nothing leaves it as it is. */
static __always_inline const struct tuple *follow(struct verdict *v, const struct flow *flow)
{
	v->forward = flow->forward;
	v->reverse = flow->flags & FLOW_REVERSE;
	return &flow->to;
}

/* Whether a socket already serves the tuple of a connection that a client opens: one that was there before
 * we were, for all others have flows.
 */
static __always_inline bool connection_exists(void *ctx, const struct tuple *t)
{
	struct bpf_sock_tuple lookup = {};
	struct bpf_sock *sock;
	bool exists;
	__u32 size;

	if (address_is_ipv4(&t->source)) {
		size = sizeof(lookup.ipv4);
		lookup.ipv4.saddr = t->source.word[3];
		lookup.ipv4.daddr = t->destination.word[3];
		lookup.ipv4.sport = t->source_port;
		lookup.ipv4.dport = t->destination_port;
	} else {
		size = sizeof(lookup.ipv6);
		for (int i = 0; i < 4; i++) {
			lookup.ipv6.saddr[i] = t->source.word[i];
			lookup.ipv6.daddr[i] = t->destination.word[i];
		}
		lookup.ipv6.sport = t->source_port;
		lookup.ipv6.dport = t->destination_port;
	}
	sock = bpf_skc_lookup_tcp(ctx, &lookup, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return false;
	exists = sock->state == BPF_TCP_ESTABLISHED;
	bpf_sk_release(sock);
	return exists;
}

/*
 * Makes scratch->flow for the packet there. Where the target knows the tuple already, from a client that uses
 * one source port for the frontend and for the target itself, the later of the two gets another source port.
 */
static __always_inline int create_flow(void *ctx, struct scratch *s)
{
	struct flow *flow = &s->flow;
	enum claim claim = CLAIM_TAKEN;

	flow->last_seen = now();
	/* Without SYN it is a connection that we forgot, and the socket is its own. */
	if (!flow->forward || !(s->packet.tcp_flags & TCP_FLAG_SYN) ||
	    !connection_exists(ctx, &flow->to))
		claim = flow_claim();
	for (int i = 0; claim == CLAIM_TAKEN && i < SOURCE_PORT_TRIES; i++) {
		__u32 range = 65536 - FIRST_SOURCE_PORT;

		flow->to.source_port = bpf_htons(FIRST_SOURCE_PORT + bpf_get_prandom_u32() % range);
		claim = flow_claim();
	}
	if (claim == CLAIM_TAKEN)
		return REASON_NO_SOURCE_PORT;
	if (claim == CLAIM_FAILED || !flow_insert(&s->packet.tuple, flow))
		return REASON_FLOW_INSERT;
	return REASON_NONE;
}

/* The flow of a client that talks to a target itself. It claims its tuple, and that is all it does. */
static __always_inline const struct tuple *decide_direct(void *ctx, struct scratch *s)
{
	int reason;

	if (!address_is_known_local(&s->packet.tuple.destination))
		return leave(&s->verdict, REASON_DIRECT);
	s->flow = (struct flow){ .to = s->packet.tuple };
	reason = create_flow(ctx, s);
	return reason == REASON_NONE ? follow(&s->verdict, &s->flow) : leave(&s->verdict, reason);
}

/*
 * Fills in scratch->flow for the first packet of a client to a frontend. Returns REASON_NONE, or the reason why
 * there is no such flow.
 */
static __noinline int plan_flow(void *ctx, struct scratch *s, __u32 ifindex, __u8 flags)
{
	const struct tuple *t;
	struct destination destination = {};
	struct target target = {};
	bool with_address = false;
	struct flow *flow;

	if (!ctx || !s)
		return REASON_NO_FRONTEND;
	t = &s->packet.tuple;
	destination.address = t->destination;
	destination.ifindex = ifindex;
	destination.port = t->destination_port;
	destination.protocol = t->protocol;
	flow = &s->flow;
	*flow = (struct flow){ .to = *t };
	flow->forward = forward_find(&destination, flags, &with_address);
	if (!flow->forward ||
	    !select_target(flow->forward, &t->destination, t->destination_port, &target)) {
		flow->forward = 0;
		return REASON_NO_FRONTEND;
	}
	if (address_is_loopback(&t->destination))
		return REASON_LOOPBACK;
	if (!with_address && !destination_is_here(ctx, t, ifindex))
		return REASON_NOT_THIS_HOST;
	flow->backend = target.backend;
	flow->generation = target.generation;
	flow->to.destination_port = target.port;
	if (!address_is_zero(&target.address))
		flow->to.destination = target.address;
	else if (with_address && !address_is_known_local(&t->destination))
		flow->to.destination = primary_address(ifindex, &t->destination);
	return address_is_zero(&flow->to.destination) ? REASON_NO_LOCAL_ADDRESS : REASON_NONE;
}

/* The first packet of a client to a frontend. */
static __always_inline const struct tuple *decide_new(void *ctx, struct scratch *s, __u32 ifindex,
						      __u8 flags)
{
	int reason = plan_flow(ctx, s, ifindex, flags);

	if (reason == REASON_NO_FRONTEND && (flags & PORT_TARGET))
		return decide_direct(ctx, s);
	s->verdict.forward = s->flow.forward;
	if (reason == REASON_NONE)
		reason = create_flow(ctx, s);
	if (reason != REASON_NONE)
		return leave(&s->verdict, reason);
	count_opened(s->flow.forward);
	return follow(&s->verdict, &s->flow);
}

/* Whether a client uses the port of a closed connection for a new one, which it may do at once. The new one is
 * decided about anew: there may be another forward by now.
 */
static __always_inline bool reopens(const struct flow *flow, const struct packet *p)
{
	return (p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN &&
	       flow_is_closed(flow);
}

/* The flow that a packet belongs to, if it still stands. */
static __always_inline struct flow *current_flow(const struct packet *p, __u64 time)
{
	struct flow_entry entry = flow_find(&p->tuple);

	if (!entry.flow)
		return NULL;
	if (unlikely(!entry.established && (entry.flow->flags & FLOW_SHADOW)))
		flow_unshadow(&p->tuple, entry.flow);
	if (unlikely(!flow_is_current(&entry, time) || reopens(entry.flow, p))) {
		flow_delete(&p->tuple, entry.flow);
		return NULL;
	}
	if (p->kind == PACKET_TRANSPORT)
		flow_track(&entry, p, time);
	return entry.flow;
}

/* A packet that has ports, or quotes one that has. */
static __always_inline const struct tuple *decide_transport(void *ctx, struct scratch *s,
							    __u32 ifindex, bool from_client)
{
	const struct packet *p = &s->packet;
	__be16 port = from_client ? p->tuple.destination_port : p->tuple.source_port;
	__u8 flags = port_flags(p->tuple.protocol, port);
	struct flow *flow;

	if (!(flags &
	      (from_client ? PORT_ANY_FRONTEND | PORT_TARGET | PORT_LINGERING : PORT_TARGET)))
		return leave(&s->verdict, REASON_NO_FRONTEND);
	flow = current_flow(p, now());
	if (flow)
		return follow(&s->verdict, flow);
	if (p->kind == PACKET_ICMP_ERROR)
		return leave(&s->verdict, REASON_ICMP_UNRELATED);
	if (!from_client)
		return leave(&s->verdict, REASON_NO_FLOW);
	if (flags & PORT_ANY_FRONTEND)
		return decide_new(ctx, s, ifindex, flags);
	if (flags & PORT_TARGET)
		return decide_direct(ctx, s);
	return leave(&s->verdict, REASON_NO_FRONTEND);
}

/* A later fragment of a datagram has no ports: it goes where its first fragment went. */
static __always_inline const struct tuple *decide_fragment(struct scratch *s)
{
	struct fragment *f = fragment_find(&s->packet);

	if (!f)
		return leave(&s->verdict, REASON_FRAGMENT_EARLY);
	s->verdict.forward = f->forward;
	s->verdict.reverse = f->reverse;
	return &f->to;
}

/* The packet in scratch, which the device with index `ifindex` has received for this host (from_client) or
 * is about to send: returns what its tuple becomes, or NULL.
 */
static __always_inline const struct tuple *decide(void *ctx, struct scratch *s, __u32 ifindex,
						  bool from_client)
{
	const struct tuple *to;

	s->verdict.forward = 0;
	s->verdict.reverse = false;
	if (s->packet.kind == PACKET_FRAGMENT)
		return decide_fragment(s);
	to = decide_transport(ctx, s, ifindex, from_client);
	if (to && unlikely(s->packet.first_fragment))
		fragment_remember(&s->packet, to, &s->verdict);
	return to;
}

#endif
