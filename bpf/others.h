/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Conversations of others: those of this host's own sockets, and those that netfilter forwards or translates here. Where
 * their tuples could be taken for ours, the flow table has them too, as flows that translate nothing. So whatever comes
 * second finds the tuple taken.
 */
#ifndef XFWD_OTHERS_H
#define XFWD_OTHERS_H

#include "claim.h"
#include "local.h"
#include "lookup.h"
#include "masquerade.h"
#include "socket.h"

#define TCP_FLAGS_OPENING (TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK)

/* The state of the TCP socket of this host that packets with a tuple are for; 0: there is none. */
static __noinline __u32 tcp_socket_state(struct __sk_buff *skb, const struct tuple *t)
{
	struct bpf_sock_tuple lookup = {};
	struct bpf_sock *sock;
	__u32 state, size;

	if (!skb || !t)
		return 0;
	size = socket_tuple(&lookup, t);
	sock = bpf_skc_lookup_tcp(skb, &lookup, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return 0;
	state = sock->state;
	bpf_sk_release(sock);
	return state;
}

/* Whether a UDP socket of this host is connected to the sender of packets with a tuple. One without a peer takes them
 * from anybody.
 */
static __noinline bool udp_socket_is_connected(struct __sk_buff *skb, const struct tuple *t)
{
	struct bpf_sock_tuple lookup = {};
	struct bpf_sock *sock;
	bool connected;
	__u32 size;

	if (!skb || !t)
		return false;
	size = socket_tuple(&lookup, t);
	sock = bpf_sk_lookup_udp(skb, &lookup, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return false;
	/* Until Linux 5.17 the field had 32 bits, of which the first 16 are the port. A socket without a peer has 0, as
	 * senders may that want no answer.
	 */
	connected = t->source_port && *(volatile __be16 *)&sock->dst_port == t->source_port;
	bpf_sk_release(sock);
	return connected;
}

/* Whether a packet is of a connection that a socket of this host has, in any state but listening. */
static __always_inline bool socket_has(struct __sk_buff *skb, const struct tuple *t)
{
	__u32 state;

	if (t->protocol == IPPROTO_UDP)
		return udp_socket_is_connected(skb, t);
	state = tcp_socket_state(skb, t);
	return state && state != BPF_TCP_LISTEN;
}

/*
 * Whether the packet in scratch, which arrives at a frontend and follows no flow, may have one made: REASON_NONE, or why
 * not. TCP opens a flow with a SYN, and any later segment of the client may be of a flow that was forgotten. Answers of
 * others, and what a socket of this host is connected for, are not for the forward.
 */
static __always_inline int may_open(struct __sk_buff *skb, const struct scratch *s)
{
	const struct packet *p = &s->packet;

	if (p->tuple.protocol == IPPROTO_TCP) {
		__u8 flags = p->tcp_flags & TCP_FLAGS_OPENING;

		if (flags == TCP_FLAG_SYN)
			return REASON_NONE;
		if (flags != TCP_FLAG_ACK)
			return REASON_NO_FLOW;
	}
	return socket_has(skb, &p->tuple) ? REASON_DIRECT : REASON_NONE;
}

/*
 * Makes scratch->flow one that translates nothing, for a packet there of somebody else's conversation. False: there is none,
 * and none is needed where either direction has a flow already.
 */
static __always_inline bool note_conversation(struct scratch *s, bool leaving)
{
	struct tuple reversed = tuple_reversed(&s->packet.tuple);
	struct flow_entry holder = flow_find(&reversed);
	__u64 time = now();
	struct flow *flow;

	if (flow_find(&s->packet.tuple).flow || (holder.flow && flow_is_current(&holder, time)))
		return false;
	flow = flow_begin(s);
	flow->last_seen = time;
	flow->leaving = leaving;
	return flow_claim(false) == CLAIM_MADE && flow_insert(s);
}

/* Whether masqueraded flows may have a source port: not one that the kernel gives to sockets of this host, but for those
 * that were taken from it.
 */
static __always_inline bool masquerading_uses(__be16 source_port)
{
	__u16 port = bpf_ntohs(source_port);
	struct settings *set = current_settings();

	return set && ((port < set->ephemeral_first || port > set->ephemeral_last) ||
		       (port >= set->masquerade_first && port <= set->masquerade_last));
}

/*
 * Whether the packet in scratch, which leaves for the port of a target elsewhere, could have the tuple of one of our flows
 * to that target: from an address of ours if flows are masqueraded, from a client's if it is kept.
 */
static __always_inline bool meets_target(struct scratch *s)
{
	const struct tuple *t = &s->packet.tuple;
	__u8 target = address_flags(&t->destination);

	if (!(target & ADDRESS_BACKEND))
		return false;
	s->verdict.own_source = address_is_known_local(&t->source);
	if (s->verdict.own_source)
		return masquerading_uses(t->source_port);
	return target & ADDRESS_TARGET;
}

/*
 * Whether answers to the packet in scratch, which leaves by a device from a frontend's port with `flags`, would be taken
 * for a client's. A forward that is about to take effect counts, so that nothing is missed while a command prepares it.
 */
static __noinline bool answers_meet_frontend(struct __sk_buff *skb, __u32 ifindex, __u32 flags)
{
	struct scratch *s = scratch();
	struct destination source = { .prepared = true };
	bool with_address = false;
	struct tuple answer;

	if (!skb || !s)
		return false;
	if (s->packet.tcp_flags & TCP_FLAG_RST)
		return false;
	/* It may be of a flow to a target here which was forgotten: the client's next packet makes that again. */
	if ((flags & PORT_TARGET) && s->packet.tuple.protocol == IPPROTO_TCP &&
	    (s->packet.tcp_flags & TCP_FLAGS_OPENING) != TCP_FLAG_SYN)
		return false;
	answer = tuple_reversed(&s->packet.tuple);
	if (address_is_multicast(&answer.source))
		return false;
	source.address = answer.destination;
	source.ifindex = ifindex;
	source.port = answer.destination_port;
	source.protocol = answer.protocol;
	if (!forward_find(&source, flags, &with_address))
		return false;
	return with_address || address_flags_are_public(address_flags(&answer.destination)) ||
	       destination_is_here(skb, &answer, ifindex);
}

/*
 * Whether a flow is for packets that leave: only such entries may be followed there. The other entries' packets have been
 * translated when they arrived.
 */
static __always_inline bool flow_leaves(const struct flow *flow)
{
	return !(flow->flags & FLOW_ELSEWHERE) && !(flow->flags & FLOW_REVERSE) == !!flow->leaving;
}

#endif
