/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is fixed when the programs are loaded; the loader may set each of these by name. */
#ifndef XFWD_CONFIG_H
#define XFWD_CONFIG_H

#include "bpf.h"

#define SECOND 1000000000ULL /* nanoseconds, the unit of now() */

/* An established TCP connection may be silent for 2 hours and 4 minutes (RFC 5382, REQ-5). */
const volatile __u64 tcp_established_timeout = 7440 * SECOND;
/* A partially open or closing one for 4 minutes (RFC 5382, REQ-5). */
const volatile __u64 tcp_transitory_timeout = 240 * SECOND;
/* A UDP mapping for 5 minutes, never less than 2 (RFC 4787, REQ-5); the shorter until the target has
 * answered.
 */
const volatile __u64 udp_answered_timeout = 300 * SECOND;
/* A question to a well-known port, with its answer, is over soon (RFC 4787, REQ-5a): the ports of masqueraded clients would
 * not do otherwise. If the client goes on, it is a conversation like any other.
 */
const volatile __u64 udp_brief_timeout = 5 * SECOND;
const volatile __u64 udp_one_way_timeout = 120 * SECOND;
/* All fragments of a datagram arrive within 30 seconds, after which Linux gives up its reassembly
 * (net.ipv4.ipfrag_time).
 */
const volatile __u64 fragment_timeout = 30 * SECOND;
/* How long a target may remember a TCP connection that it has closed first (TIME_WAIT, 60 seconds in Linux) and refuse
 * another one of the same tuple.
 */
const volatile __u64 tcp_time_wait = 60 * SECOND;
/* How long a flow that was not answered, or not confirmed, may keep a tuple from others for which there is no other: more
 * than a round trip, and less than a flood needs to take all.
 */
const volatile __u64 unconfirmed_patience = 3 * SECOND;
/* How old a flow's last_seen may become, and how long its two entries may go without proof that both
 * exist.
 */
const volatile __u64 refresh_interval = 1 * SECOND;

/* A next hop is looked up again after this time, for nobody need be there to see that routes or neighbours have
 * changed. The packet for which that is done is sent by way of the kernel's neighbour table, which so notices
 * that the neighbour is in use, and asks whether it is still there.
 */
const volatile __u64 next_hop_timeout = 2 * SECOND;
/* How long the kernel asks for a neighbour's link-layer address (mcast_solicit times retrans_time_ms). After that, a client
 * is told that nobody answers.
 */
const volatile __u64 neighbour_patience = 3 * SECOND;

/* Linux 5.11 has a clock that costs no reading of the hardware. The verifier drops the other branch
 * before it would reject the unknown helper.
 */
const volatile bool coarse_clock = false;
/* Linux 5.12 tells the MTU that a device has now. Likewise. */
const volatile bool device_mtu_helper = false;

/* The cookie of the network namespace whose sockets the cgroup hooks serve. The root cgroup has the
 * processes of all namespaces.
 */
const volatile __u64 netns_cookie = 0;

/* Written into skb->tc_index where a second program of ours may see a packet that one has served. Other values than
 * another instance's, for the field is kept from one namespace to the next. Even.
 */
const volatile __u16 served_mark = 0x7866;
/* Beside it, of a packet that was served on its way out. Without it, on its way in. */
#define SERVED_LEAVING 1

static __always_inline __u64 now(void)
{
	return coarse_clock ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

/* Nanoseconds from `since` to `time`; none if another CPU's clock was ahead. */
static __always_inline __u64 elapsed(__u64 time, __u64 since)
{
	return time > since ? time - since : 0;
}

#endif
