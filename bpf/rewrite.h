/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Writes what both hooks write alike: the headers of a packet that was parsed between data and data_end. Each function
 * returns false if a header is cut off; it is not, but the verifier does not know that. The checksums of TCP and UDP
 * are the hook's business.
 */
#ifndef XFWD_REWRITE_H
#define XFWD_REWRITE_H

#include "checksum.h"
#include "parse.h"

/* A bound that the verifier can see, and no transport header reaches: MAX_EXTENSION_HEADERS have at most 2048 bytes
 * each.
 */
#define TRANSPORT_OFFSET_MASK 0x3fff

/* The addresses become those of `to`, which is worth `diff`; and with `onward`, the packet has one hop less. */
static __always_inline bool write_network(void *data, void *data_end, const struct packet *p,
					  const struct tuple *to, __u32 diff, bool onward)
{
	void *header = data + (p->network & LONGEST_LINK_LAYER);

	if (p->ipv6) {
		struct ipv6hdr *ip = header;

		if ((void *)(ip + 1) > data_end)
			return false;
		__builtin_memcpy(&ip->saddr, &to->source, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &to->destination, sizeof(ip->daddr));
		ip->hop_limit -= onward;
	} else {
		struct iphdr *ip = header;

		if ((void *)(ip + 1) > data_end)
			return false;
		ip->saddr = to->source.word[3];
		ip->daddr = to->destination.word[3];
		ip->ttl -= onward;
		ip->check =
			checksum_change(ip->check, (__u64)diff + (onward ? ttl_diff(false) : 0));
	}
	return true;
}

static __always_inline bool write_ports(void *data, void *data_end, const struct packet *p,
					const struct tuple *to)
{
	__be32 *ports = data + (p->transport & TRANSPORT_OFFSET_MASK);

	if ((void *)(ports + 1) > data_end)
		return false;
	*ports = ports_of(to);
	return true;
}

static __always_inline bool write_link_layer(void *data, void *data_end, const struct next_hop *hop)
{
	struct ethhdr *ethernet = data;

	if ((void *)(ethernet + 1) > data_end)
		return false;
	__builtin_memcpy(ethernet->h_dest, hop->destination_address, sizeof(ethernet->h_dest));
	__builtin_memcpy(ethernet->h_source, hop->source_address, sizeof(ethernet->h_source));
	return true;
}

#endif
