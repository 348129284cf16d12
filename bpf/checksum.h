/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Internet checksums, changed by what has changed (RFC 1624). A difference is a sum of 16-bit words in ones'
 * complement that is not folded yet: "new - old". Byte order does not matter to it (RFC 1071 2.B).
 */
#ifndef XFWD_CHECKSUM_H
#define XFWD_CHECKSUM_H

#include "address.h"

#define NO_CHECKSUM 0xffff /* that of nothing */
#define LONGEST_SUM 512	   /* bytes that bpf_csum_diff takes at once */

static __always_inline __u64 checksum_diff(__u64 diff, __be32 old, __be32 new)
{
	return diff + (__u32)~old + new;
}

/*
 * Adds to a sum that of `length` bytes, and of what follows them up to a whole word, which must be zeroes. `mask`, a constant,
 * tells the verifier how many there are at most.
 */
static __always_inline __u32 sum_words(const void *data, __u32 length, __u32 mask, __u32 sum)
{
	const __u32 last = length & mask & ~(LONGEST_SUM - 1U);
	const __u32 rest = ((length & (LONGEST_SUM - 1)) + 3) & ~3U;

	for (__u32 i = 0; i <= mask / LONGEST_SUM; i++) {
		if ((i + 1) * LONGEST_SUM > length)
			break;
		sum = bpf_csum_diff(NULL, 0, data + i * LONGEST_SUM, LONGEST_SUM, sum);
	}
	return bpf_csum_diff(NULL, 0, data + last, rest, sum);
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
