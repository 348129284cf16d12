/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which addresses are this host's. */
#ifndef XFWD_LOCAL_H
#define XFWD_LOCAL_H

#include "maps.h"
#include "parse.h"

#define AF_INET 2
#define AF_INET6 10

/* The ADDRESS_* flags of an address. */
static __always_inline __u8 address_flags(const struct address *address)
{
	__u8 *flags = bpf_map_lookup_elem(&known_addresses, address);

	return flags ? *flags : 0;
}

static __always_inline bool address_is_known_local(const struct address *address)
{
	return address_flags(address) & ADDRESS_LOCAL;
}

/* Asks for the route of a packet that came by a device. */
static __always_inline void fib_ask(struct bpf_fib_lookup *fib, const struct tuple *t,
				    __u32 ifindex)
{
	fib->ifindex = ifindex;
	fib->l4_protocol = t->protocol;
	fib->sport = t->source_port;
	fib->dport = t->destination_port;
	if (address_is_ipv4(&t->destination)) {
		fib->family = AF_INET;
		fib->ipv4_src = t->source.word[3];
		fib->ipv4_dst = t->destination.word[3];
	} else {
		fib->family = AF_INET6;
		for (int i = 0; i < 4; i++) {
			fib->ipv6_src[i] = t->source.word[i];
			fib->ipv6_dst[i] = t->destination.word[i];
		}
	}
}

/* IPv6 forwards nothing from or to such an address, so bpf_fib_lookup says no more of it than of this host's own. */
static __always_inline bool address_is_never_routed(const struct address *address)
{
	return !address_is_ipv4(address) &&
	       (address_is_link_local(address) || address_is_multicast(address) ||
		address_is_loopback(address));
}

/*
 * Whether the destination of a packet is this host. The routing table knows, also of addresses that came after the
 * control plane last looked; but only for a device that forwards, and for addresses that are routed. Others may still
 * hand packets on, to an ipvlan for one, so there only addresses that are known count.
 */
static __noinline bool destination_is_here(void *ctx, const struct tuple *t, __u32 ifindex)
{
	struct bpf_fib_lookup fib = {};
	long result;

	if (!ctx || !t)
		return false;
	if (address_is_never_routed(&t->source) || address_is_never_routed(&t->destination))
		return address_is_known_local(&t->destination);
	fib_ask(&fib, t, ifindex);
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result < 0 || result == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return address_is_known_local(&t->destination);
	return result == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/* The address that this host has on a device, for packets of the family of `like`; zero if none. */
static __always_inline struct address primary_address(__u32 ifindex, const struct address *like)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	struct settings *s;

	if (device &&
	    !address_is_zero(address_is_ipv4(like) ? &device->primary4 : &device->primary6))
		return address_is_ipv4(like) ? device->primary4 : device->primary6;
	s = current_settings();
	if (!s)
		return (struct address){};
	return address_is_ipv4(like) ? s->primary4 : s->primary6;
}

#endif
