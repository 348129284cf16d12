/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets whose headers do not say what they are for: a first fragment ends before its TCP header does, or IPv6
 * has more extension headers than the parser follows. The kernel puts fragments together and follows any number of
 * headers. So such a packet would reach what this host itself serves behind a frontend's port.
 */
#ifndef XFWD_UNREADABLE_H
#define XFWD_UNREADABLE_H

#include "frontend.h"
#include "local.h"
#include "scratch.h"

/* The PORT_* flags of frontends that a packet in scratch, whose ports cannot be read, may be for. */
static __always_inline __u8 flags_of_any_port(const struct packet *p)
{
	switch (p->tuple.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return port_flags(p->tuple.protocol, 0);
	case PROTOCOL_UNKNOWN:
		/* An IPv4 header tells the protocol, or the kernel drops the packet. */
		return p->ipv6 ? port_flags(IPPROTO_TCP, 0) | port_flags(IPPROTO_UDP, 0) : 0;
	}
	return 0;
}

/*
 * Whether the packet in scratch, which arrives by a device and was found malformed, may be for a frontend. If the
 * frontend is known, its forward is in the verdict. A global function, which the verifier checks once.
 */
__noinline int may_be_for_frontend(struct __sk_buff *skb, __u32 ifindex)
{
	struct scratch *s = scratch();
	struct transport_ports ports = {};
	struct tuple *t;
	__u32 found = 0;
	bool readable;
	__u8 flags;

	if (!s)
		return false;
	t = &s->packet.tuple;
	s->verdict.forward = 0;
	/* The IP header itself was cut off. */
	if (address_is_zero(&t->destination))
		return false;
	flags = flags_of_any_port(&s->packet);
	readable = t->protocol != PROTOCOL_UNKNOWN &&
		   s->packet.transport + sizeof(ports) <= s->packet.end &&
		   !bpf_skb_load_bytes(skb, s->packet.transport, &ports, sizeof(ports));
	t->source_port = ports.source;
	t->destination_port = ports.destination;
	if (!(flags & PORT_FRONTENDS))
		return false;
	if (readable) {
		s->asked = *t;
		found = frontend_of_asked(ifindex, port_flags(t->protocol, ports.destination));
		if (!found)
			return false;
		s->verdict.forward = found >> FRONTEND_ID_SHIFT;
	}
	return (found & FRONTEND_WITH_ADDRESS) ||
	       (!readable && address_is_known_local(&t->destination)) ||
	       destination_is_here(skb, t, ifindex);
}

#endif
