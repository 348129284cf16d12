/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Fragments of IP packets. Later ones have no ports; they are known by the datagram that they are of. What may become
 * fragments here does so in fragment_skb.h.
 */
#ifndef XFWD_FRAGMENT_H
#define XFWD_FRAGMENT_H

#include "config.h"
#include "flow.h"

#define FRAGMENT_UNIT 8 /* bytes that a fragment's offset counts in (RFC 791 3.1) */

/* Data is what is behind the IP header. A packet with more is not fragmented. */
#define MOST_DATA 0x3fff
/* bpf_skb_adjust_room makes no more room than 4095 bytes at once. */
#define MOST_FRAGMENT_DATA 4088
#define MOST_FRAGMENTS 32

/* How much data each fragment but the last has. */
static __always_inline __u32 fragment_data(__u32 mtu)
{
	__u32 room = ((mtu < LEAST_MTU ? LEAST_MTU : mtu) - sizeof(struct iphdr)) &
		     ~(FRAGMENT_UNIT - 1U);

	return room < MOST_FRAGMENT_DATA ? room : MOST_FRAGMENT_DATA;
}

/*
 * Whether the packet in scratch, which is too big for an MTU, can leave in fragments: one of IPv4 that does not forbid it,
 * has no options, and is not several already (GSO). A global function, which the verifier checks once.
 */
__noinline int may_fragment(struct __sk_buff *skb, __u32 mtu)
{
	struct scratch *s = scratch();
	struct iphdr ip;
	__u32 data;

	if (!s || s->packet.ipv6 || s->packet.kind == PACKET_ICMP_ERROR || skb->gso_size)
		return false;
	data = s->packet.size - sizeof(ip);
	return data <= MOST_DATA && data <= MOST_FRAGMENTS * fragment_data(mtu) &&
	       !bpf_skb_load_bytes(skb, s->packet.network, &ip, sizeof(ip)) &&
	       low_nibble(&ip) * 4 == sizeof(ip) && !(ip.frag_off & bpf_htons(IP_DF));
}

/* IPv6 identifies a datagram without its protocol (RFC 8200 4.5), IPv4 with it (RFC 791). */
static __always_inline struct fragment_key fragment_key_of(const struct packet *p)
{
	return (struct fragment_key){
		.source = p->tuple.source,
		.destination = p->tuple.destination,
		.id = p->fragment_id,
		.protocol = p->ipv6 ? 0 : p->tuple.protocol,
	};
}

static __always_inline struct fragment *fragment_find(const struct packet *p)
{
	struct fragment_key key = fragment_key_of(p);
	struct fragment *f = bpf_map_lookup_elem(&fragments, &key);

	if (f && elapsed(now(), f->seen) > fragment_timeout)
		return NULL;
	return f;
}

/* Remembers which flow the first fragment of a datagram is of. An ICMP error in fragments is nobody's. */
static __always_inline void fragment_remember(const struct packet *p)
{
	struct fragment_key key = fragment_key_of(p);
	struct fragment f = { .key = p->tuple, .seen = now() };

	if (p->kind == PACKET_TRANSPORT)
		bpf_map_update_elem(&fragments, &key, &f, BPF_ANY);
}

#endif
