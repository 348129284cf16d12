/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which addresses are this host's. */
#ifndef XFWD_LOCAL_H
#define XFWD_LOCAL_H

#include "maps.h"
#include "parse.h"

#define AF_INET 2
#define AF_INET6 10

/* What is known of an address that is on a device, or a backend's; NULL if nothing. */
static __always_inline const struct known_address *address_known(const struct address *address)
{
	return bpf_map_lookup_elem(&known_addresses, address);
}

/* The ADDRESS_* flags of an address. */
static __always_inline __u8 address_flags(const struct address *address)
{
	const struct known_address *known = address_known(address);
	struct local_prefix_key key = { .prefix_length = 128, .address = *address };
	__u8 *flags;

	if (known)
		return known->flags;
	flags = bpf_map_lookup_elem(&local_prefixes, &key);
	return flags ? *flags : 0;
}

static __always_inline bool address_is_known_local(const struct address *address)
{
	return address_flags(address) & ADDRESS_LOCAL;
}

/* Whether flags are those of an address that a frontend without an address means: one that clients outside can have. */
static __always_inline bool address_flags_are_public(__u8 flags)
{
	return (flags & (ADDRESS_LOCAL | ADDRESS_SERVICE)) == ADDRESS_LOCAL;
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

/* Addresses that no machine has, for which a routing table has no other route than the default one: of 240.0.0.0/4
 * (RFC 1112 4) and of the space that IANA has not assigned.
 */
#define UNASSIGNED_IPV4 bpf_htonl(0xf0000001)
#define UNASSIGNED_IPV6 bpf_htonl(0x40000000)

/*
 * Whether the routing table has a route for every packet from the source of `t` that comes by a device. The control plane
 * has seen a default route; that it is still there is asked with an address that only this route leads to. `fib` is room on
 * the caller's stack, of which there is little.
 */
static __always_inline bool everything_is_routed(void *ctx, const struct tuple *t, __u32 ifindex,
						 struct bpf_fib_lookup *fib)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	bool ipv4 = address_is_ipv4(&t->destination);
	long result;

	if (!device || !(device->flags & (ipv4 ? DEVICE_ROUTES_ALL4 : DEVICE_ROUTES_ALL6)))
		return false;
	*fib = (struct bpf_fib_lookup){};
	fib_ask(fib, t, ifindex);
	if (ipv4) {
		fib->ipv4_dst = UNASSIGNED_IPV4;
	} else {
		fib->ipv6_dst[0] = UNASSIGNED_IPV6;
		fib->ipv6_dst[1] = 0;
		fib->ipv6_dst[2] = 0;
		fib->ipv6_dst[3] = bpf_htonl(1);
	}
	result = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	return result >= 0 && result != BPF_FIB_LKUP_RET_NOT_FWDED;
}

/*
 * Whether a frontend without an address means the destination of a packet. The routing table knows which addresses are this
 * host's, also those that came after the control plane last looked. But it says the same of an address without any route, and
 * nothing on a device that does not forward, where others may hand packets on all the same, to an ipvlan for one. There only
 * addresses that are known count.
 */
static __noinline bool destination_is_here(void *ctx, const struct tuple *t, __u32 ifindex)
{
	struct bpf_fib_lookup fib = {};
	__u8 flags;
	bool known;
	long result;

	if (!ctx || !t)
		return false;
	flags = address_flags(&t->destination);
	if (address_is_multicast(&t->destination) ||
	    (flags & (ADDRESS_SERVICE | ADDRESS_BROADCAST)))
		return false;
	known = flags & ADDRESS_LOCAL;
	if (address_is_never_routed(&t->source) || address_is_never_routed(&t->destination))
		return known;
	fib_ask(&fib, t, ifindex);
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result < 0 || result == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return known;
	if (result != BPF_FIB_LKUP_RET_NOT_FWDED)
		return false;
	return known || everything_is_routed(ctx, t, ifindex, &fib);
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
