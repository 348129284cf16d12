/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Addresses and tuples: IPv4 is carried as IPv4-mapped IPv6, so that one logic serves both. */
#ifndef XFWD_ADDRESS_H
#define XFWD_ADDRESS_H

#include "abi.h"

#define MAPPED_PREFIX bpf_htonl(0x0000ffff)

static __always_inline struct address address_from_ipv4(__be32 ipv4)
{
	return (struct address){ .word = { 0, 0, MAPPED_PREFIX, ipv4 } };
}

static __always_inline struct address address_from_ipv6(const __be32 *ipv6)
{
	return (struct address){ .word = { ipv6[0], ipv6[1], ipv6[2], ipv6[3] } };
}

static __always_inline bool address_is_ipv4(const struct address *a)
{
	return !a->word[0] && !a->word[1] && a->word[2] == MAPPED_PREFIX;
}

static __always_inline bool address_is_zero(const struct address *a)
{
	return !(a->word[0] | a->word[1] | a->word[2] | a->word[3]);
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		 (a->word[3] ^ b->word[3]));
}

/* 127.0.0.0/8 (RFC 1122 3.2.1.3) and ::1 (RFC 4291 2.5.3). */
static __always_inline bool address_is_loopback(const struct address *a)
{
	if (address_is_ipv4(a))
		return (bpf_ntohl(a->word[3]) >> 24) == 127;
	return !a->word[0] && !a->word[1] && !a->word[2] && a->word[3] == bpf_htonl(1);
}

/* fe80::/10 (RFC 4291 2.5.6) and 169.254.0.0/16 (RFC 3927), which no router forwards. */
static __always_inline bool address_is_link_local(const struct address *a)
{
	if (address_is_ipv4(a))
		return bpf_ntohl(a->word[3]) >> 16 == 0xa9fe;
	return bpf_ntohl(a->word[0]) >> 22 == 0xfe80 >> 6;
}

/*
 * An address that several hosts have: 224.0.0.0/4 and ff00::/8, and the broadcast address 255.255.255.255. The rest of
 * 240.0.0.0/4 is unicast, as Linux has it.
 */
static __always_inline bool address_is_multicast(const struct address *a)
{
	if (address_is_ipv4(a))
		return bpf_ntohl(a->word[3]) >> 28 == 0xe || a->word[3] == 0xffffffff;
	return bpf_ntohl(a->word[0]) >> 24 == 0xff;
}

/* Whether the first `bits` bits of two addresses are the same. */
static __always_inline bool address_shares_prefix(const struct address *a, const struct address *b,
						  __u32 bits)
{
	__u32 differ = 0;

	for (__u32 i = 0; i < 4; i++) {
		__u32 kept = bits > 32 * i ? bits - 32 * i : 0;
		__u32 mask = kept >= 32 ? 0xffffffff : ~(0xffffffff >> kept);

		differ |= (a->word[i] ^ b->word[i]) & bpf_htonl(mask);
	}
	return !differ;
}

/* 0.0.0.0 and ::, which a program that connects to them means as loopback. */
static __always_inline bool address_is_unspecified(const struct address *a)
{
	return !a->word[0] && !a->word[1] && !a->word[3] &&
	       (!a->word[2] || a->word[2] == MAPPED_PREFIX);
}

/* :: and 0.0.0.0/8, "this network" (RFC 1122 3.2.1.3), which no packet is forwarded from. */
static __always_inline bool address_is_this_network(const struct address *a)
{
	if (address_is_ipv4(a))
		return !(bpf_ntohl(a->word[3]) >> 24);
	return address_is_zero(a);
}

/* The tuple of the packets that answer packets with this one. */
static __always_inline struct tuple tuple_reversed(const struct tuple *t)
{
	return (struct tuple){
		.source = t->destination,
		.destination = t->source,
		.source_port = t->destination_port,
		.destination_port = t->source_port,
		.protocol = t->protocol,
	};
}

/* Without branches, each of which would double what the verifier has to follow. */
static __always_inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

static __always_inline bool tuple_addresses_equal(const struct tuple *a, const struct tuple *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

#endif
