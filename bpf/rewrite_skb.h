/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Gives an skb another tuple. All writing goes through helpers, for they know what the device
 * still has to do: a checksum that is left to it (CHECKSUM_PARTIAL) covers the ports already and wants its
 * pseudo header only, one that it computed over the whole packet (CHECKSUM_COMPLETE) must stay true.
 */
#ifndef XFWD_REWRITE_SKB_H
#define XFWD_REWRITE_SKB_H

#include "rewrite.h"
#include "scratch.h"
#include "stats.h"

#define IPV4_CHECKSUM_OFFSET 10
#define IPV4_ADDRESSES_OFFSET 12
#define IPV4_TTL_OFFSET 8
#define IPV6_ADDRESSES_OFFSET 8
#define IPV6_HOP_LIMIT_OFFSET 7
#define TCP_CHECKSUM_OFFSET 16
#define UDP_CHECKSUM_OFFSET 6
#define ICMP_CHECKSUM_OFFSET 2

#define CUT 512 /* bytes, more than a packet's headers have */

/* Writes both addresses of an IP header and, for IPv4, its checksum. */
static __always_inline long write_addresses(struct __sk_buff *skb, __u32 network, bool ipv6,
					    const struct tuple *to, __u32 diff)
{
	__be32 pair[] = { to->source.word[3], to->destination.word[3] };

	if (ipv6)
		return bpf_skb_store_bytes(skb, network + IPV6_ADDRESSES_OFFSET, to,
					   sizeof(to->source) + sizeof(to->destination), 0);
	return bpf_l3_csum_replace(skb, network + IPV4_CHECKSUM_OFFSET, 0, diff, 0) ||
	       bpf_skb_store_bytes(skb, network + IPV4_ADDRESSES_OFFSET, pair, sizeof(pair), 0);
}

/* Changes a checksum for a change of the pseudo header's addresses. */
static __always_inline long update_pseudo_header(struct __sk_buff *skb, __u32 checksum, bool ipv6,
						 __u64 flags, __u32 diff)
{
	if (bpf_l4_csum_replace(skb, checksum, 0, diff, flags | BPF_F_PSEUDO_HDR))
		return -1;
	/*
	 * The helper takes the diff from skb->csum too, as is right for IPv4, whose header checksum makes
	 * up for its addresses. IPv6 has none: the addresses and the checksum already cancel out.
	 */
	if (ipv6)
		bpf_csum_update(skb, diff);
	return 0;
}

/* Changes the transport checksum, or what the device has summed up, for another tuple. */
static __always_inline long update_transport(struct __sk_buff *skb, const struct packet *p,
					     const struct tuple *to, __u32 addresses)
{
	bool tcp = p->tuple.protocol == IPPROTO_TCP;
	__u32 checksum = p->transport + (tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET);
	/* UDP says "no checksum" with zero, and zero with all ones (RFC 768). */
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__be32 old = ports_of(&p->tuple), new = ports_of(to);

	if (old != new && bpf_l4_csum_replace(skb, checksum, old, new, flags | sizeof(new)))
		return -1;
	return addresses ? update_pseudo_header(skb, checksum, p->ipv6, flags, addresses) : 0;
}

/*
 * Gives a packet with ports, or a later fragment, another tuple; and with `onward`, one hop less. A UDP datagram without
 * checksum stays without, and a fragment has none; then, too, what the device has summed up must follow (bpf_csum_update
 * does nothing where there is no such sum). The header of IPv4 makes up for its own changes, that of IPv6 does not.
 */
static __always_inline long rewrite_transport(struct __sk_buff *skb, const struct packet *p,
					      const struct tuple *to, bool onward)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	bool has_ports = p->kind == PACKET_TRANSPORT;
	__u32 addresses = 0;

	if (unlikely(onward || !tuple_addresses_equal(&p->tuple, to))) {
		addresses = checksum_fold32(
			address_diff(p->ipv6, &p->tuple.source, &p->tuple.destination, to));
		if (!write_network(data, data_end, p, to, addresses, onward))
			return -1;
	}
	if (has_ports && !write_ports(data, data_end, p, to))
		return -1;
	if (onward && p->ipv6)
		bpf_csum_update(skb, ttl_diff(true));
	if (has_ports && !p->unchecked)
		return update_transport(skb, p, to, addresses);
	if (has_ports)
		bpf_csum_update(
			skb, checksum_fold32(checksum_diff(0, ports_of(&p->tuple), ports_of(to))));
	if (p->ipv6)
		bpf_csum_update(skb, addresses);
	return 0;
}

/* The addresses of an IP header that has been parsed. */
static __always_inline long load_addresses(struct __sk_buff *skb, __u32 network, bool ipv6,
					   struct address *source, struct address *destination)
{
	__be32 pair[2];

	if (ipv6)
		return bpf_skb_load_bytes(skb, network + IPV6_ADDRESSES_OFFSET, source,
					  sizeof(*source)) ||
		       bpf_skb_load_bytes(skb, network + IPV6_ADDRESSES_OFFSET + sizeof(*source),
					  destination, sizeof(*destination));
	if (bpf_skb_load_bytes(skb, network + IPV4_ADDRESSES_OFFSET, pair, sizeof(pair)))
		return -1;
	*source = address_from_ipv4(pair[0]);
	*destination = address_from_ipv4(pair[1]);
	return 0;
}

/*
 * The packet that an ICMP error quotes becomes what its sender sent (RFC 5508, REQ-4 and REQ-5). Its transport
 * checksum is left where the quote ends before it, and where UDP has none. `error_diff` gets what all this adds
 * to the checksum of the error.
 */
static __always_inline long rewrite_quoted(struct __sk_buff *skb, const struct packet *p,
					   const struct tuple *to, __s64 *error_diff)
{
	struct tuple old = tuple_reversed(&p->tuple);
	struct tuple new = tuple_reversed(to);
	bool tcp = old.protocol == IPPROTO_TCP;
	__u32 checksum = p->quoted_transport + (tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET);
	__be32 old_ports = ports_of(&old);
	__be32 new_ports = ports_of(&new);
	__be16 quoted_checksum = 0;
	__u32 addresses;
	__s64 all;

	addresses = checksum_fold32(address_diff(p->ipv6, &old.source, &old.destination, &new));
	all = bpf_csum_diff(&old_ports, 4, &new_ports, 4, addresses);
	/* IPv4's header checksum makes up for its addresses, IPv6 has none. */
	*error_diff = bpf_csum_diff(&old_ports, 4, &new_ports, 4, p->ipv6 ? addresses : 0);

	if (checksum + sizeof(quoted_checksum) <= p->end &&
	    !bpf_skb_load_bytes(skb, checksum, &quoted_checksum, sizeof(quoted_checksum)) &&
	    (tcp || quoted_checksum)) {
		__be32 made_up_for = all;

		if (bpf_l4_csum_replace(skb, checksum, 0, all, tcp ? 0 : BPF_F_MARK_MANGLED_0))
			return -1;
		*error_diff =
			bpf_csum_diff(&made_up_for, sizeof(made_up_for), NULL, 0, *error_diff);
	}
	return write_addresses(skb, p->quoted_network, p->ipv6, &new, addresses) ||
	       bpf_skb_store_bytes(skb, p->quoted_transport, &new_ports, 4, 0);
}

/*
 * Translates an ICMP error: the packet that it quotes, its own destination, which is the quoted source,
 * and its own source, if the quoted destination itself sends it. That of a router on the way stays.
 */
static __noinline long rewrite_icmp_error(struct __sk_buff *skb, const struct packet *p,
					  const struct tuple *to)
{
	__u32 checksum = p->transport + ICMP_CHECKSUM_OFFSET;
	struct tuple outer_to = *to;
	struct address source, destination;
	__s64 error_diff;
	__u32 diff;

	if (load_addresses(skb, p->network, p->ipv6, &source, &destination) ||
	    rewrite_quoted(skb, p, to, &error_diff) ||
	    bpf_l4_csum_replace(skb, checksum, 0, error_diff, 0))
		return -1;
	if (!address_equal(&source, &p->tuple.source))
		outer_to.source = source;
	if (!address_equal(&destination, &p->tuple.destination))
		outer_to.destination = destination;
	diff = checksum_fold32(address_diff(p->ipv6, &source, &destination, &outer_to));
	if (write_addresses(skb, p->network, p->ipv6, &outer_to, diff))
		return -1;
	/* ICMPv6 covers the pseudo header (RFC 4443 2.3), ICMP does not (RFC 792). */
	return p->ipv6 ? update_pseudo_header(skb, checksum, true, 0, diff) : 0;
}

/* One hop less (RFC 1812 5.3.1, RFC 8200 3). */
static __always_inline long decrement_ttl(struct __sk_buff *skb, const struct packet *p)
{
	__u32 offset = p->network + (p->ipv6 ? IPV6_HOP_LIMIT_OFFSET : IPV4_TTL_OFFSET);
	__u8 ttl = p->ttl - 1;

	if (p->ipv6)
		bpf_csum_update(skb, ttl_diff(true));
	else if (bpf_l3_csum_replace(skb, p->network + IPV4_CHECKSUM_OFFSET, 0, ttl_diff(false), 0))
		return -1;
	return bpf_skb_store_bytes(skb, offset, &ttl, sizeof(ttl), 0);
}

/* The sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1). IPv4-mapped addresses have the sum of IPv4 ones. */
static __always_inline __u32 sum_pseudo_header(const struct packet *p, __u8 protocol, __u32 length)
{
	return bpf_csum_diff(NULL, 0, (const __be32 *)&p->tuple, 2 * sizeof(struct address),
			     bpf_htonl(length + protocol));
}

/*
 * Makes the skb a packet of `length` bytes behind `headers` of the link layer and of IP, of which the
 * kernel knows nothing: no segments, which end with any change of its length; no checksum that it has seen
 * (CHECKSUM_COMPLETE), which ends when it grows; none that the device is to finish (CHECKSUM_PARTIAL). There is no call
 * for that one, but it ends when the bytes that it begins with are cut away; some kernels see that at the next cut
 * only. The end cannot be moved after that (Linux before 6.13), but there can be made room.
 */
static __always_inline long clear_packet(struct __sk_buff *skb, __u32 headers, __u32 length)
{
	return bpf_skb_change_tail(skb, CUT, 0) || bpf_skb_change_tail(skb, headers + CUT + 4, 0) ||
	       bpf_skb_adjust_room(skb, -CUT, BPF_ADJ_ROOM_MAC, 0) ||
	       bpf_skb_adjust_room(skb, -4, BPF_ADJ_ROOM_MAC, 0) ||
	       bpf_skb_adjust_room(skb, length, BPF_ADJ_ROOM_MAC, 0);
}

#endif
