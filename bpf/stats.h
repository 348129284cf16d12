/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counting. The tc programs run with bottom halves off, so one does not interrupt another on its CPU and
 * their per-CPU values need no atomics. The socket hooks may be interrupted; what they count too, does.
 */
#ifndef XFWD_STATS_H
#define XFWD_STATS_H

#include "maps.h"

static __always_inline bool is_drop(enum reason reason)
{
	return reason >= REASON_FIRST_DROP;
}

static __always_inline void count_reason(enum reason reason)
{
	__u32 key = reason;
	__u64 *packets = bpf_map_lookup_elem(&reasons, &key);

	if (packets)
		++*packets;
}

/* A packet is dropped, or answered instead. */
static __always_inline void count_drop(__u32 forward, enum reason reason)
{
	struct forward_reason_key key = { .forward = forward, .reason = reason };
	__u64 *packets;
	__u64 one = 1;

	count_reason(reason);
	if (!forward)
		return;
	packets = bpf_map_lookup_elem(&forward_drops, &key);
	if (packets)
		__sync_fetch_and_add(packets, 1);
	else
		bpf_map_update_elem(&forward_drops, &key, &one, BPF_ANY);
}

/* Counts a drop. Returns what a tc program returns for it. */
static __always_inline int drop(__u32 forward, enum reason reason)
{
	count_drop(forward, reason);
	return TCX_DROP;
}

/* A connection of a backend has begun (1) or ended (-1). Only flows whose balance wants to know are counted. */
static __always_inline void count_connection(const struct flow *flow, __s64 change)
{
	__s64 *connections;

	if (likely(!(flow->flags & FLOW_COUNTED)))
		return;
	connections = bpf_map_lookup_elem(&backend_connections, &flow->backend);
	if (connections)
		__sync_fetch_and_add(connections, change);
}

static __always_inline struct counters *counters_of(__u32 forward)
{
	return bpf_map_lookup_elem(&counters, &forward);
}

static __always_inline struct counters *counters_of_backend(__u32 backend)
{
	struct counters *c = bpf_map_lookup_elem(&backend_counters, &backend);

	return likely(c) ? c : bpf_map_lookup_elem(&more_backend_counters, &backend);
}

/* A flow of a forward was made. */
static __always_inline void count_opened(__u32 forward, __u32 backend)
{
	struct counters *c = counters_of(forward);

	if (c)
		__sync_fetch_and_add(&c->opened, 1);
	c = counters_of_backend(backend);
	if (c)
		__sync_fetch_and_add(&c->opened, 1);
}

static __always_inline void add_traffic(struct counters *c, bool reverse, __u64 packets,
					__u64 bytes)
{
	if (!c)
		return;
	if (reverse) {
		c->reverse_packets += packets;
		c->reverse_bytes += bytes;
	} else {
		c->forward_packets += packets;
		c->forward_bytes += bytes;
	}
}

/* Counts `packets` of a flow with `bytes` in all. Flows of no forward are not counted. */
static __always_inline void count_traffic(__u32 forward, __u32 backend, bool reverse, __u64 packets,
					  __u64 bytes)
{
	if (!forward)
		return;
	add_traffic(counters_of(forward), reverse, packets, bytes);
	add_traffic(counters_of_backend(backend), reverse, packets, bytes);
}

static __always_inline struct table_changes *changes_of(enum flow_table table)
{
	__u32 key = table;

	return bpf_map_lookup_elem(&table_changes, &key);
}

/* An entry is in a flow table that was not there. */
static __always_inline void count_inserted(enum flow_table table)
{
	struct table_changes *c = changes_of(table);

	if (c)
		c->inserted++;
}

static __always_inline void count_deleted(enum flow_table table)
{
	struct table_changes *c = changes_of(table);

	if (c)
		c->deleted++;
}

#endif
