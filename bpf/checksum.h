/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Internet checksums, changed by what has changed (RFC 1624). A difference is a sum of 16-bit words in ones'
 * complement that is not folded yet: "new - old". Byte order does not matter to it (RFC 1071 2.B).
 */
#ifndef XFWD_CHECKSUM_H
#define XFWD_CHECKSUM_H

#include "address.h"

static __always_inline __u64 checksum_diff(__u64 diff, __be32 old, __be32 new)
{
	return diff + (__u32)~old + new;
}

/* To the 32 bits that the kernel's helpers take. */
static __always_inline __u32 checksum_fold32(__u64 diff)
{
	diff = (diff & 0xffffffff) + (diff >> 32);
	return (diff & 0xffffffff) + (diff >> 32);
}

static __always_inline __sum16 checksum_change(__sum16 checksum, __u64 diff)
{
	__u64 sum = (__u16)~checksum + (__u64)checksum_fold32(diff);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* What changing addresses adds to a checksum that covers them. IPv4-mapped addresses differ in their last words only. */
static __always_inline __u64 address_diff(bool ipv6, const struct address *old_source,
					  const struct address *old_destination,
					  const struct tuple *to)
{
	__u64 diff = 0;

	for (int i = ipv6 ? 0 : 3; i < 4; i++) {
		diff = checksum_diff(diff, old_source->word[i], to->source.word[i]);
		diff = checksum_diff(diff, old_destination->word[i], to->destination.word[i]);
	}
	return diff;
}

/* Both ports of a tuple, as they stand in a transport header. */
static __always_inline __be32 ports_of(const struct tuple *t)
{
	return *(const __be32 *)&t->source_port;
}

/* What taking one from the TTL, or from the hop limit, adds: each shares a word with a field that stays. */
static __always_inline __u64 ttl_diff(bool ipv6)
{
	return bpf_htons(ipv6 ? 0xfffe : 0xfeff);
}

#endif
