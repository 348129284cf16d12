/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From a forward to the target of a new flow. */
#ifndef XFWD_SELECT_H
#define XFWD_SELECT_H

#include "lookup.h"

/* Where a new flow goes. */
struct target {
	struct address address; /* zero: this host, the address stays */
	__be16 port;
	__u32 backend;
	__u32 generation;
};

/* The port of a target for a port of the frontend: the same place in a range of equal length, or the one
 * port that all go to.
 */
static __always_inline __be16 target_port(const struct forward *f, const struct backend *b,
					  __be16 frontend_port)
{
	__u16 offset = 0;

	if (f->flags & FORWARD_PORT_BY_PORT)
		offset = bpf_ntohs(frontend_port) - f->port_first;
	return bpf_htons(b->port_first + offset);
}

/*
 * Chooses the target for packets to `address` and `port` of a forward. False: the forward has none of that
 * family, or has just gone.
 */
static __always_inline bool select_target(__u32 forward, const struct address *address, __be16 port,
					  struct target *target)
{
	struct forward *f = bpf_map_lookup_elem(&forwards, &forward);
	struct backend *b;

	if (!f)
		return false;
	target->backend = f->backend;
	b = bpf_map_lookup_elem(&backends, &target->backend);
	if (!b || b->state != BACKEND_ACTIVE)
		return false;
	if (!address_is_zero(&b->address) &&
	    address_is_ipv4(&b->address) != address_is_ipv4(address))
		return false;
	target->generation = b->generation;
	target->address = b->address;
	target->port = target_port(f, b, port);
	return true;
}

#endif
