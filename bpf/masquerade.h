/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whose address and port a target sees as its client's. */
#ifndef XFWD_MASQUERADE_H
#define XFWD_MASQUERADE_H

#include "flow.h"
#include "local.h"
#include "select.h"

/* How many source ports are tried where the client's own cannot be kept. */
#define SOURCE_PORT_TRIES 32
/* The last of these may take the port of a flow that is hardly one. */
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

/* Our address for a target that is reached by the device `ifindex`. */
static __always_inline struct address masquerade_address(const struct target *target, __u32 ifindex)
{
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

#endif
