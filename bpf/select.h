/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a forward to the backend of a new flow. Weights are in the tables that the control plane makes: a backend
 * of twice the weight is there twice as often. Which backend a hash leads to depends on the backends and on
 * the packet only, so that two hosts that publish the same choose alike.
 */
#ifndef XFWD_SELECT_H
#define XFWD_SELECT_H

#include "affinity.h"
#include "config.h"
#include "lookup.h"

/* How many backends are compared for BALANCE_LEAST_CONNECTIONS; of more, so many in a row from a random one on. */
#define LEAST_CONNECTIONS_COMPARED 16

/* Where a new flow goes. */
struct target {
	struct address address;	   /* zero: this host, the address stays */
	struct address masquerade; /* as in struct backend */
	__be16 port;
	__u32 forward;
	__u32 backend;
	__u32 generation;
	__u8 source;  /* enum backend_source */
	__u8 balance; /* enum balance */
};

/* Mixes two words; the constants are those of MurmurHash3, which is in the public domain. */
static __always_inline __u32 hash_add(__u32 hash, __u32 word)
{
	word *= 0xcc9e2d51;
	word = word << 15 | word >> 17;
	hash ^= word * 0x1b873593;
	hash = hash << 13 | hash >> 19;
	return hash * 5 + 0xe6546b64;
}

static __always_inline __u32 hash_end(__u32 hash)
{
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

static __always_inline __u32 hash_add_address(__u32 hash, const struct address *a)
{
	for (int i = 0; i < 4; i++)
		hash = hash_add(hash, bpf_ntohl(a->word[i]));
	return hash;
}

static __always_inline __u32 hash_of_source(const struct tuple *t)
{
	return hash_end(hash_add_address(0, &t->source));
}

static __always_inline __u32 hash_of_tuple(const struct tuple *t)
{
	__u32 hash = hash_add_address(hash_add_address(0, &t->source), &t->destination);

	hash = hash_add(hash,
			(__u32)bpf_ntohs(t->source_port) << 16 | bpf_ntohs(t->destination_port));
	return hash_end(hash_add(hash, t->protocol));
}

static __always_inline __u32 table_entry(void *table, __u32 index)
{
	__u32 *backend = bpf_map_lookup_elem(table, &index);

	return backend ? *backend : 0;
}

/* The number of the next turn of a forward. Two processors may be given the same one. */
static __always_inline __u32 next_turn(__u32 forward)
{
	__u64 *turn = bpf_map_lookup_elem(&turns, &forward);
	__u32 number = 0;

	if (turn) {
		number = *turn;
		__sync_fetch_and_add(turn, 1);
	}
	return number;
}

/* The backend with the fewest connections for its weight, the new one included. */
static __always_inline __u32 least_loaded(void *table, __u32 size)
{
	__u32 start = bpf_get_prandom_u32() % size;
	__u64 best_load = 0, best_weight = 0;
	__u32 best = 0;

	for (__u32 i = 0; i < LEAST_CONNECTIONS_COMPARED && i < size; i++) {
		__u32 id = table_entry(table, (start + i) % size);
		struct backend *b = backend_find(id);
		__s64 *connections = bpf_map_lookup_elem(&backend_connections, &id);
		__u64 load;

		if (!b || !connections || !b->weight)
			continue;
		load = *connections > 0 ? *connections + 1 : 1;
		/* load / weight < best_load / best_weight */
		if (!best || load * best_weight < best_load * b->weight) {
			best = id;
			best_load = load;
			best_weight = b->weight;
		}
	}
	return best;
}

/*
 * The id of the backend that a table gives a new flow of `forward`; 0: none. A global function, which the verifier
 * checks once.
 */
__noinline __u32 choose_from_table(__u32 forward, __u32 key, __u32 size, __u32 balance, __u32 hash)
{
	void *table = bpf_map_lookup_elem(&backend_tables, &key);

	if (!table || !size)
		return 0;
	switch (balance) {
	case BALANCE_ROUND_ROBIN:
		return table_entry(table, next_turn(forward) % size);
	case BALANCE_RANDOM:
		return table_entry(table, bpf_get_prandom_u32() % size);
	case BALANCE_LEAST_CONNECTIONS:
		return least_loaded(table, size);
	}
	return table_entry(table, hash % size);
}

/*
 * The id of the backend that the pool gives a new flow of `forward` with the tuple of its first packet; 0: none.
 * `by_hash`: what has the same tuple must come to the same backend, whatever the balance. With affinity a hash is of the
 * client's address alone, so that another host that knows nothing of the client chooses alike for all of its flows.
 */
static __always_inline __u32 choose_backend(__u32 forward, const struct forward *f,
					    const struct pool *pool, const struct tuple *t,
					    bool by_hash)
{
	__u8 balance = by_hash ? BALANCE_MAGLEV : f->balance;
	bool by_client = balance == BALANCE_SOURCE_HASH || f->affinity;

	if (!pool->table)
		return pool->backend;
	return choose_from_table(forward, pool->table, pool->size, balance,
				 by_client ? hash_of_source(t) : hash_of_tuple(t));
}

/*
 * The backend that a client stays with, or one that it stays with from now on. In a group the machine decides that some
 * forward of the group has chosen. Where `forward` has no backend at it, the client stays with what it has had by this
 * forward, and the others of the group follow.
 */
static __always_inline __u32 choose_with_affinity(__u32 forward, const struct forward *f,
						  const struct pool *pool, const struct tuple *t,
						  bool by_hash)
{
	struct affinity_key key = { .client = t->source };
	__u64 duration = f->affinity * SECOND;
	__u64 time = now();
	bool confirmed;
	__u32 backend;

	if (f->affinity_group) {
		key.owner = affinity_group(f);
		backend = recall(&key, forward, duration, time);
		if (backend)
			return backend;
	}
	key.owner = forward;
	/* The host's own connections have no flow that could be confirmed, and nobody else can ask in its name. */
	confirmed = address_is_zero(&t->source);
	backend = recall(&key, forward, duration, time);
	if (!backend) {
		backend = choose_backend(forward, f, pool, t, by_hash);
		if (!backend)
			return 0;
		stay_with(&key, forward, backend, time, confirmed);
	}
	if (f->affinity_group) {
		key.owner = affinity_group(f);
		stay_with(&key, forward, backend, time, confirmed);
	}
	return backend;
}

/* The port of a target for a port of the frontend: the same place in a range of equal length, or the one
 * port that all go to.
 */
static __always_inline __be16 target_port(const struct forward *f, const struct backend *b,
					  __be16 frontend_port)
{
	__u16 offset = 0;

	if (b->port_first != b->port_last)
		offset = bpf_ntohs(frontend_port) - f->port_first;
	return bpf_htons(b->port_first + offset);
}

/* The pool of a forward for the family of an address. */
static __always_inline const struct pool *pool_of(const struct forward *f,
						  const struct address *address, __u64 epoch)
{
	__u32 version = epoch >= f->changed;
	__u32 family = address_is_ipv4(address) ? POOL_IPV4 : POOL_IPV6;

	return &f->pools[version & 1][family & 1];
}

/*
 * Chooses the target for the first packet of a flow, which has the tuple `t`. REASON_NO_BACKEND: there is no backend
 * of that family that takes new flows.
 */
static __noinline int select_target(__u32 forward, const struct tuple *t, bool by_hash,
				    struct target *target)
{
	struct forward *f = bpf_map_lookup_elem(&forwards, &forward);
	const struct pool *pool;
	struct backend *b;

	if (!t || !target || !f)
		return REASON_NO_FRONTEND;
	pool = pool_of(f, &t->destination, current_epoch());
	if (!pool->serves)
		return REASON_NO_FRONTEND;
	if (f->affinity)
		target->backend = choose_with_affinity(forward, f, pool, t, by_hash);
	else
		target->backend = choose_backend(forward, f, pool, t, by_hash);
	b = target->backend ? backend_find(target->backend) : NULL;
	if (!b)
		return REASON_NO_BACKEND;
	target->forward = forward;
	target->generation = b->generation;
	target->address = b->address;
	target->masquerade = b->masquerade;
	target->source = b->source;
	target->balance = f->balance;
	target->port = target_port(f, b, t->destination_port);
	return REASON_NONE;
}

#endif
