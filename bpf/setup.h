/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How long a connection takes to set up: what a client waits for its target, and for the way there and back. The
 * host's own connections do not come here.
 */
#ifndef XFWD_SETUP_H
#define XFWD_SETUP_H

#include "maps.h"
#include "parse.h"

#define SETUP_TICK_SHIFT 8 /* a tick of setup_clock() is 256 nanoseconds */

/* Finer than now(), and comes around after 18 minutes: no half-open connection lives as long. */
static __always_inline __u32 setup_clock(void)
{
	return bpf_ktime_get_ns() >> SETUP_TICK_SHIFT;
}

/* The position of the highest bit that is set; of zero, 0. */
static __always_inline __u32 log2_floor(__u64 x)
{
	__u32 position = 0;

	for (__u32 bits = 32; bits; bits /= 2) {
		if (x >> bits) {
			x >>= bits;
			position += bits;
		}
	}
	return position;
}

/* The bucket of struct setup_times for a time in ticks. */
static __always_inline __u32 setup_bucket(__u32 ticks)
{
	/* In 2^-30 seconds, which are 5^9 / 2^21 nanoseconds: so whole octaves begin at whole numbers. A bound belongs
	 * to the bucket below.
	 */
	__u64 time = ((__u64)ticks << (SETUP_TICK_SHIFT + 21)) / 1953125;
	__u64 above = time ? time - 1 : 0;
	__u32 octave = log2_floor(above);
	__u32 mantissa = (above << (63 - octave)) >> 32;
	/* 2^31 times 2^(1/4), 2^(2/4) and 2^(3/4) */
	__u32 quarters =
		(mantissa >= 2553802834) + (mantissa >= 3037000500) + (mantissa >= 3611622603);
	__s32 bucket = 4 * ((__s32)octave - 30) + quarters + 1 - SETUP_FIRST;

	if (bucket < 0)
		return 0;
	return bucket < SETUP_BUCKETS ? bucket : SETUP_BUCKETS - 1;
}

/* The packet is the first answer of the flow's target. */
static __always_inline void count_setup(const struct flow *flow, const struct packet *p)
{
	const __u8 accepts = TCP_FLAG_SYN | TCP_FLAG_ACK;
	__u32 ticks = setup_clock() - flow->opened;
	__u32 bucket = setup_bucket(ticks);
	struct setup_times *times;

	if ((p->tcp_flags & accepts) != accepts || bucket >= SETUP_BUCKETS)
		return;
	times = bpf_map_lookup_elem(&setup_times, &flow->forward);
	if (!times)
		return;
	__sync_fetch_and_add(&times->sum, (__u64)ticks << SETUP_TICK_SHIFT);
	__sync_fetch_and_add(&times->buckets[bucket], 1);
}

#endif
