/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which backend a client stays with. Anybody can send the first packet of a flow in any client's name, so there are two
 * maps, as in the flow table: an affinity is in new_affinities until a flow of its client is confirmed, and in affinities
 * from then on. Both forget what was not used for longest, so a flood of forged packets pushes out only its like.
 * What is confirmed is always looked for first. The connections that a new client opens at once meet in the other map.
 */
#ifndef XFWD_AFFINITY_H
#define XFWD_AFFINITY_H

#include "config.h"
#include "maps.h"
#include "scratch.h"

static __always_inline struct backend *backend_find(__u32 id)
{
	return bpf_map_lookup_elem(&backends, &id);
}

/* Whether a backend is still the one of this generation, and takes new flows. */
static __always_inline bool backend_takes(__u32 id, __u32 generation)
{
	struct backend *b = backend_find(id);

	return b && b->state == BACKEND_ACTIVE && b->generation == generation;
}

static __always_inline void *affinity_table(bool confirmed)
{
	return confirmed ? (void *)&affinities : (void *)&new_affinities;
}

/* The owner of what the clients of a forward's group stay with. */
static __always_inline __u32 affinity_group(const struct forward *f)
{
	return f->affinity_group | AFFINITY_OF_GROUP;
}

/*
 * The backend of `forward` that a client stays with by one of the maps, if it has come within `duration` and the backend
 * still takes new flows; 0: none. In a group, it is the one at the machine that the client stays with. No part of its
 * callers, whose stack is short.
 */
static __noinline __u32 recall_from(const struct affinity_key *key, __u32 forward, __u64 duration,
				    __u64 time, bool confirmed)
{
	struct group_backend_key there = { .forward = forward };
	struct group_backend *b;
	struct affinity *a;

	if (!key)
		return 0;
	a = bpf_map_lookup_elem(affinity_table(confirmed), key);
	if (!a || elapsed(time, a->last_used) > duration)
		return 0;
	/* Of several backends at one machine the forward that chose it keeps its own. */
	if (a->forward == forward && backend_takes(a->backend, a->generation)) {
		a->last_used = time;
		return a->backend;
	}
	if (!(key->owner & AFFINITY_OF_GROUP))
		return 0;
	there.machine = a->machine;
	b = bpf_map_lookup_elem(&group_backends, &there);
	if (!b || !backend_takes(b->backend, b->generation))
		return 0;
	a->last_used = time;
	return b->backend;
}

static __always_inline __u32 recall(const struct affinity_key *key, __u32 forward, __u64 duration,
				    __u64 time)
{
	__u32 backend = recall_from(key, forward, duration, time, true);

	return backend ? backend : recall_from(key, forward, duration, time, false);
}

/* The client stays with a backend of `forward` from now on. No part of its callers either. */
static __noinline int stay_with(const struct affinity_key *key, __u32 forward, __u32 backend,
				__u64 time, bool confirmed)
{
	struct backend *b = backend_find(backend);
	struct affinity fresh = { .last_used = time, .backend = backend, .forward = forward };

	if (!key || !b)
		return 0;
	fresh.generation = b->generation;
	fresh.machine = b->address;
	bpf_map_update_elem(affinity_table(confirmed), key, &fresh, BPF_ANY);
	return 0;
}

/* The client stays with a backend of `forward` by a flow that it has confirmed, unless it has another one to stay with. */
static __always_inline void confirm_affinity(const struct affinity_key *key, __u32 forward,
					     __u32 backend, __u64 duration, __u64 time)
{
	if (recall_from(key, forward, duration, time, true))
		return;
	stay_with(key, forward, backend, time, true);
	bpf_map_delete_elem(&new_affinities, key);
}

/*
 * The packet in scratch is its client's and confirms a flow of `forward` to a backend. The flow itself says to which,
 * for a flood may have pushed out what was noted when it was made. A global function, which the verifier checks once.
 */
__noinline int affinity_confirm(__u32 forward, __u32 backend, __u32 generation)
{
	struct forward *f = bpf_map_lookup_elem(&forwards, &forward);
	struct affinity_key key = { .owner = forward };
	struct scratch *s = scratch();
	__u64 duration, time;

	if (!s || !f || !f->affinity || !backend_takes(backend, generation))
		return 0;
	duration = f->affinity * SECOND;
	time = now();
	key.client = s->packet.tuple.source;
	confirm_affinity(&key, forward, backend, duration, time);
	if (f->affinity_group) {
		key.owner = affinity_group(f);
		confirm_affinity(&key, forward, backend, duration, time);
	}
	return 0;
}

#endif
