/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From a destination to the forward that has it as its frontend. */
#ifndef XFWD_LOOKUP_H
#define XFWD_LOOKUP_H

#include "address.h"
#include "config.h"
#include "maps.h"
#include "parse.h"

#define PORT_SET_TCP 0
#define PORT_SET_UDP 1

#define PORT_ANY_FRONTEND (PORT_FRONTEND | PORT_FRONTEND_RANGE)
#define PORT_ANY_TARGET (PORT_TARGET | PORT_ELSEWHERE)

/* What a destination is to us, and through which device (its ifindex) it was reached. */
struct destination {
	struct address address;
	__u32 ifindex;
	__be16 port;
	__u8 protocol;
	bool prepared; /* forwards count that are about to take effect */
};

/* The PORT_* flags of a port. */
static __always_inline __u8 port_flags(__u8 protocol, __be16 port)
{
	__u32 key = protocol == IPPROTO_TCP ? PORT_SET_TCP : PORT_SET_UDP;
	struct port_set *set = bpf_map_lookup_elem(&ports, &key);
	__u32 index = bpf_ntohs(port);

	/* Verifiers before Linux 6.13 forget at a byte swap that the value has 16 bits. */
	asm volatile("%0 &= 0xffff" : "+r"(index));
	return set ? set->flags[index] : 0;
}

static __always_inline __u64 current_epoch(void)
{
	struct settings *s = current_settings();

	return s ? s->epoch : 0;
}

/* Whether a forward is there for new flows. What has expired is deleted by the next command; until then it is as if
 * it were.
 */
static __always_inline bool forward_is_alive(const struct forward *f, __u64 epoch)
{
	return f->born <= epoch && epoch < f->dies && now() < f->expires[epoch >= f->changed];
}

static __always_inline __u32 forward_alive_of(const struct frontend *frontend, __u64 epoch)
{
	for (int i = 0; i < 2; i++) {
		__u32 id = frontend->forward[i];
		struct forward *f = id ? bpf_map_lookup_elem(&forwards, &id) : NULL;

		if (f && forward_is_alive(f, epoch))
			return id;
	}
	return 0;
}

static __always_inline __u32 frontend_find(const struct destination *d,
					   const struct address *address, __u32 ifindex, __u8 flags,
					   __u64 epoch)
{
	struct frontend *frontend;
	__u32 id = 0;

	if (flags & PORT_FRONTEND) {
		struct frontend_key key = {
			.address = *address,
			.ifindex = ifindex,
			.port = d->port,
			.protocol = d->protocol,
		};

		frontend = bpf_map_lookup_elem(&frontends, &key);
		if (frontend)
			id = forward_alive_of(frontend, epoch);
	}
	if (!id && (flags & PORT_FRONTEND_RANGE)) {
		struct frontend_range_key key = {
			.prefix_length = RANGE_FIXED_BITS + 16,
			.address = *address,
			.ifindex = ifindex,
			.protocol = d->protocol,
			.port = d->port,
		};

		frontend = bpf_map_lookup_elem(&frontend_ranges, &key);
		if (frontend)
			id = forward_alive_of(frontend, epoch);
	}
	return id;
}

/*
 * The id of the forward for a destination whose port has `flags`, or 0. An address beats none, then a device
 * beats none, then a single port beats a range. `with_address` tells how it was found.
 */
static __noinline __u32 forward_find(const struct destination *d, __u8 flags, bool *with_address)
{
	const struct address any = {};
	__u64 epoch = current_epoch();
	__u32 id = 0;

	if (!d || !with_address)
		return 0;
	epoch += d->prepared;
	*with_address = true;
	/* Whoever writes to :: names no address, but would find the entries that have none. */
	if ((flags & PORT_FRONTEND_ADDRESS) && !address_is_zero(&d->address)) {
		if (flags & PORT_FRONTEND_DEVICE)
			id = frontend_find(d, &d->address, d->ifindex, flags, epoch);
		if (!id)
			id = frontend_find(d, &d->address, 0, flags, epoch);
		if (id)
			return id;
	}
	*with_address = false;
	if (flags & PORT_FRONTEND_DEVICE)
		id = frontend_find(d, &any, d->ifindex, flags, epoch);
	if (!id)
		id = frontend_find(d, &any, 0, flags, epoch);
	return id;
}

#endif
