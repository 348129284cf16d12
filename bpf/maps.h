/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The maps. The loader gives the flow tables their size. */
#ifndef XFWD_MAPS_H
#define XFWD_MAPS_H

#include "abi.h"

/* Keyed by zero. Mapped into memory, the epoch can be stored at one stroke. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* Keyed by PORT_SET_TCP and PORT_SET_UDP. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct port_set);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FORWARDS * MAX_DEVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
} frontends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_FORWARDS * MAX_DEVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct frontend_range_key);
	__type(value, struct frontend);
} frontend_ranges SEC(".maps");

/* Keyed by the id of the forward: 1 to MAX_FORWARDS - 1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FORWARDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct forward);
} forwards SEC(".maps");

/* Keyed like forwards. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FORWARDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct forward_info);
} forward_infos SEC(".maps");

/* Keyed by the id of the backend; 0 is none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* Keyed like backends, but those in use only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct backend_info);
} backend_infos SEC(".maps");

/* Connections that a backend has, for BALANCE_LEAST_CONNECTIONS. What the LRU of the flow tables forgets is
 * counted still, until the control plane counts anew. Keyed like backends.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, __s64);
} backend_connections SEC(".maps");

/* A table of backend ids, of which a new flow takes one. The control plane makes it as large as it must be. */
struct backend_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, __u32);
};

/* Keyed by struct pool's table; 0 is none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, MAX_FORWARDS * POOL_FAMILIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__array(values, struct backend_table);
} backend_tables SEC(".maps");

/* Whose turn it is, of the table of a forward; BALANCE_ROUND_ROBIN. Keyed by the id of the forward. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FORWARDS);
	__type(key, __u32);
	__type(value, __u64);
} turns SEC(".maps");

/* What clients stay with that have confirmed a flow. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinities SEC(".maps");

/* And all others; forged packets fill only this one. See affinity.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} new_affinities SEC(".maps");

/* The backends of the forwards that are in a group, one for each machine. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct group_backend_key);
	__type(value, struct group_backend);
} group_backends SEC(".maps");

/* Of the forwards whose user has chosen addresses to masquerade with. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FORWARDS * POOL_FAMILIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_pool_key);
	__type(value, struct source_pool);
} source_pools SEC(".maps");

/* Keyed by the index of the device in its namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

/* Marks that devices and flows have. Keyed from 1 on. An entry never changes while a device has it, nor soon
 * after, for flows do.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_MARKS);
	__type(key, __u32);
	__type(value, struct mark);
} marks SEC(".maps");

/* Addresses that mean something to us, as far as the control plane has seen. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct known_address);
} known_addresses SEC(".maps");

/* Prefixes of addresses of this host that no device has; ADDRESS_* flags. Mostly empty. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_LOCAL_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct local_prefix_key);
	__type(value, __u8);
} local_prefixes SEC(".maps");

/* Devices that have our XDP program in their driver, which some need to send what XDP redirects to them. Keyed and
 * valued by ifindex.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} xdp_devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tuple);
	__type(value, struct flow);
} flows_established SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tuple);
	__type(value, struct flow);
} flows_transitory SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct socket_peer_key);
	__type(value, struct socket_peer);
} socket_peers SEC(".maps");

/* Sockets that are bound to lo, such as that of systemd-resolved (127.0.0.53%lo:53), as far as the control plane has
 * seen. bpf_sk_lookup_tcp() and bpf_sk_lookup_udp() do not find them: called from a socket hook, they look for sockets
 * that are bound to no device. The value means nothing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LOOPBACK_LISTENERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct listener);
	__type(value, __u8);
} loopback_listeners SEC(".maps");

/* Keyed by the id of the forward. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_FORWARDS);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* Those of backends, keyed by id. Memory for every id on every CPU would be much, so there are few here. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FEW_BACKENDS);
	__type(key, __u32);
	__type(value, struct counters);
} backend_counters SEC(".maps");

/* Those of the others, of which only what is in use is here. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MAX_BACKENDS - FEW_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct counters);
} more_backend_counters SEC(".maps");

/* Of the forwards over TCP, keyed by id. Shared by the CPUs, for a connection comes here once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FORWARDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct setup_times);
} setup_times SEC(".maps");

/* Keyed by enum flow_table. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TABLE_COUNT);
	__type(key, __u32);
	__type(value, struct table_changes);
} table_changes SEC(".maps");

/* Keyed likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TABLE_COUNT);
	__type(key, __u32);
	__type(value, struct table_account);
} table_accounts SEC(".maps");

/* Packets by enum reason, whatever the forward. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASON_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

/* Drops of one forward. Shared by the CPUs, for drops are rare. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FORWARDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct forward_reason_key);
	__type(value, __u64);
} forward_drops SEC(".maps");

/* Never NULL, but the verifier does not know that. */
static __always_inline struct settings *current_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

#endif
