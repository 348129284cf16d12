/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whose address and port a target sees as its client's. */
#ifndef XFWD_MASQUERADE_H
#define XFWD_MASQUERADE_H

#include "claim.h"
#include "local.h"
#include "select.h"

/* How many source ports are tried where the client's own cannot be kept; as many again at the other addresses of a pool. */
#define SOURCE_PORT_TRIES 32
/* The last of these may take the port of a flow that nobody has confirmed. */
#define PRESSING_TRIES 8
/*
 * Source ports given instead of one above are above, too (RFC 4787, REQ-3). A client below comes from a privileged port, on
 * which some servers insist (NFS), and gets one from the part in which it has its own: the ranges are those of netfilter.
 */
#define FIRST_SOURCE_PORT 1024
#define SECOND_PRIVILEGED_PART 512
#define FIRST_OF_SECOND_PART 600

/* Ports in host order, both included. */
struct port_range {
	__u16 first;
	__u16 last;
};

/*
 * Whether a target elsewhere must see our address, for what it answers would otherwise not come back through us. A
 * target that asks for its own service never takes its own address as a client's.
 */
static __always_inline bool must_masquerade(const struct target *target, const struct flow *flow,
					    const struct tuple *t, __u32 ifindex)
{
	if (address_equal(&t->source, &target->address))
		return true;
	if (target->source == BACKEND_KEEPS_SOURCE_ACROSS)
		return flow->hop.ifindex == ifindex;
	return target->source == BACKEND_MASQUERADES;
}

/* Our addresses for the targets of a forward that have the family of `address`, if its user has chosen some. */
static __always_inline const struct source_pool *source_pool_of(__u32 forward,
								const struct address *address)
{
	struct source_pool_key key = {
		.forward = forward,
		.family = address_is_ipv4(address) ? POOL_IPV4 : POOL_IPV6,
	};
	const struct source_pool *pool = bpf_map_lookup_elem(&source_pools, &key);

	return pool && pool->count ? pool : NULL;
}

/* Which address of a pool a client has. It keeps that with all its flows (RFC 4787, REQ-2), as long as there are ports. */
static __always_inline __u32 client_place(const struct source_pool *pool, const struct tuple *t)
{
	return hash_of_source(t) % pool->count;
}

/* Our address for a target that is reached by the device `ifindex`, as the source of what a client sends. */
static __always_inline struct address masquerade_address(const struct target *target,
							 const struct tuple *t, __u32 ifindex)
{
	const struct source_pool *pool = source_pool_of(target->forward, &target->address);

	if (pool)
		return pool->addresses[client_place(pool, t) & (MAX_SOURCE_ADDRESSES - 1)];
	if (!address_is_zero(&target->masquerade))
		return target->masquerade;
	return primary_address(ifindex, &target->address);
}

static __always_inline bool is_masqueraded(const struct scratch *s)
{
	return !address_equal(&s->flow.to.source, &s->packet.tuple.source);
}

/*
 * Whether the flow in scratch may have the client's own port. With our address, too, unless it is one that the kernel
 * gives to this host's own sockets: one of these could then have the same tuple, and we would never know.
 */
static __always_inline bool may_keep_source_port(const struct scratch *s)
{
	__u16 port = bpf_ntohs(s->packet.tuple.source_port);
	struct settings *set;

	if (!is_masqueraded(s))
		return true;
	set = current_settings();
	return set && (port < set->ephemeral_first || port > set->ephemeral_last);
}

/* The ports from which the flow in scratch gets one, if not the client's. */
static __always_inline struct port_range source_ports(const struct scratch *s)
{
	__u16 port = bpf_ntohs(s->packet.tuple.source_port);
	struct settings *set = current_settings();

	if (port < SECOND_PRIVILEGED_PART)
		return (struct port_range){ 1, SECOND_PRIVILEGED_PART - 1 };
	if (port < FIRST_SOURCE_PORT)
		return (struct port_range){ FIRST_OF_SECOND_PART, FIRST_SOURCE_PORT - 1 };
	if (!set || (!is_masqueraded(s) && !s->verdict.own_source))
		return (struct port_range){ FIRST_SOURCE_PORT, 65535 };
	return (struct port_range){ set->masquerade_first, set->masquerade_last };
}

static __always_inline __be16 random_port(struct port_range range)
{
	__u32 count = (__u32)range.last - range.first + 1;

	return bpf_htons(range.first + bpf_get_prandom_u32() % count);
}

/*
 * Claims a tuple for the flow in scratch with a source port that it chooses by chance. With `pressing`, a flow that nobody has
 * confirmed gives way. A global function, which the verifier checks once.
 */
__noinline int claim_random_port(int pressing)
{
	struct scratch *s = scratch();

	if (!s)
		return CLAIM_FAILED;
	s->flow.to.source_port = random_port(source_ports(s));
	return flow_claim(pressing);
}

/*
 * Claims a tuple for the flow in scratch at the other addresses of the forward's pool by turns, for no port was found at the
 * client's own. A global function for the same reason.
 */
__noinline int claim_other_address(void)
{
	struct scratch *s = scratch();
	const struct source_pool *pool;
	int claim = CLAIM_TAKEN;
	__u32 own, others;

	if (!s || !is_masqueraded(s))
		return CLAIM_TAKEN;
	pool = source_pool_of(s->flow.forward, &s->flow.to.destination);
	if (!pool || pool->count < 2)
		return CLAIM_TAKEN;
	own = client_place(pool, &s->packet.tuple);
	others = pool->count - 1;
	for (__u32 i = 0; claim == CLAIM_TAKEN && i < SOURCE_PORT_TRIES; i++) {
		__u32 place = (own + 1 + i % others) % pool->count;

		s->flow.to.source = pool->addresses[place & (MAX_SOURCE_ADDRESSES - 1)];
		claim = claim_random_port(i >= SOURCE_PORT_TRIES - PRESSING_TRIES);
	}
	return claim;
}

#endif
