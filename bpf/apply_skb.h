/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Carries a verdict out on an skb. All writing goes through helpers, for they know what the device
 * still has to do: a checksum that is left to it (CHECKSUM_PARTIAL) covers the ports already and wants its
 * pseudo header only, one that it computed over the whole packet (CHECKSUM_COMPLETE) must stay true.
 */
#ifndef XFWD_APPLY_SKB_H
#define XFWD_APPLY_SKB_H

#include "decide.h"

#define IPV4_CHECKSUM_OFFSET 10
#define IPV4_SOURCE_OFFSET 12
#define IPV4_DESTINATION_OFFSET 16
#define IPV6_SOURCE_OFFSET 8
#define IPV6_DESTINATION_OFFSET 24
#define TCP_CHECKSUM_OFFSET 16
#define UDP_CHECKSUM_OFFSET 6
#define ICMP_CHECKSUM_OFFSET 2

#define PACKET_HOST 0
#define VLAN_ID 0x0fff /* in the tag control information; 0 is a priority tag (802.1Q 9.6) */

/* Ethernet with tags, IPv6 with extension headers, ICMPv6, and the same again quoted, generously. */
#define LONGEST_HEADERS 512

/*
 * What changing addresses adds to a checksum that covers them. IPv4-mapped addresses differ in their last
 * words only, so the sum over all of them is that over the IPv4 ones.
 */
static __always_inline __s64 address_checksum_diff(const struct address *old_source,
						   const struct address *old_destination,
						   const struct tuple *to)
{
	__s64 diff = bpf_csum_diff(old_source->word, sizeof(*old_source), to->source.word,
				   sizeof(to->source), 0);

	return bpf_csum_diff(old_destination->word, sizeof(*old_destination), to->destination.word,
			     sizeof(to->destination), diff);
}

/* Writes both addresses of an IP header and, for IPv4, its checksum. */
static __always_inline long write_addresses(struct __sk_buff *skb, __u32 network, bool ipv6,
					    const struct tuple *to, __s64 diff)
{
	if (ipv6)
		return bpf_skb_store_bytes(skb, network + IPV6_SOURCE_OFFSET, &to->source,
					   sizeof(to->source), 0) ||
		       bpf_skb_store_bytes(skb, network + IPV6_DESTINATION_OFFSET, &to->destination,
					   sizeof(to->destination), 0);
	return bpf_l3_csum_replace(skb, network + IPV4_CHECKSUM_OFFSET, 0, diff, 0) ||
	       bpf_skb_store_bytes(skb, network + IPV4_SOURCE_OFFSET, &to->source.word[3],
				   sizeof(__be32), 0) ||
	       bpf_skb_store_bytes(skb, network + IPV4_DESTINATION_OFFSET, &to->destination.word[3],
				   sizeof(__be32), 0);
}

/* Changes a checksum for a change of the pseudo header's addresses. */
static __always_inline long update_pseudo_header(struct __sk_buff *skb, __u32 checksum, bool ipv6,
						 __u64 flags, __s64 diff)
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

/* Both ports of a tuple, as they stand in a transport header. */
static __always_inline __be32 ports_of(const struct tuple *t)
{
	return *(const __be32 *)&t->source_port;
}

static __always_inline long rewrite_ports(struct __sk_buff *skb, const struct packet *p,
					  __u32 checksum, __u64 flags, __be32 to)
{
	__be32 from = ports_of(&p->tuple);

	if (p->unchecked)
		bpf_csum_update(skb, bpf_csum_diff(&from, sizeof(from), &to, sizeof(to), 0));
	else if (bpf_l4_csum_replace(skb, checksum, from, to, flags | sizeof(to)))
		return -1;
	return bpf_skb_store_bytes(skb, p->transport, &to, sizeof(to), 0);
}

static __always_inline long rewrite_addresses(struct __sk_buff *skb, const struct packet *p,
					      __u32 checksum, __u64 flags, const struct tuple *to)
{
	const struct tuple *from = &p->tuple;
	__s64 diff = address_checksum_diff(&from->source, &from->destination, to);

	if (write_addresses(skb, p->network, p->ipv6, to, diff))
		return -1;
	if (p->kind == PACKET_TRANSPORT && !p->unchecked)
		return update_pseudo_header(skb, checksum, p->ipv6, flags, diff);
	/* IPv6 without a checksum of its own: nothing makes up for the addresses. */
	if (p->ipv6)
		bpf_csum_update(skb, diff);
	return 0;
}

/*
 * Gives a packet with ports, or a later fragment, another tuple. A UDP datagram without checksum stays without; then,
 * too, what the device has summed up must follow (bpf_csum_update does nothing where there is no such sum).
 */
static __always_inline long rewrite_transport(struct __sk_buff *skb, const struct packet *p,
					      const struct tuple *to)
{
	bool tcp = p->tuple.protocol == IPPROTO_TCP;
	__u32 checksum = p->transport + (tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET);
	/* UDP says "no checksum" with zero, and zero with all ones (RFC 768). */
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;

	if (p->kind == PACKET_TRANSPORT && ports_of(to) != ports_of(&p->tuple) &&
	    rewrite_ports(skb, p, checksum, flags, ports_of(to)))
		return -1;
	if (likely(tuple_addresses_equal(&p->tuple, to)))
		return 0;
	return rewrite_addresses(skb, p, checksum, flags, to);
}

/* The addresses of an IP header that has been parsed. */
static __always_inline long load_addresses(struct __sk_buff *skb, __u32 network, bool ipv6,
					   struct address *source, struct address *destination)
{
	__be32 pair[2];

	if (ipv6)
		return bpf_skb_load_bytes(skb, network + IPV6_SOURCE_OFFSET, source,
					  sizeof(*source)) ||
		       bpf_skb_load_bytes(skb, network + IPV6_DESTINATION_OFFSET, destination,
					  sizeof(*destination));
	if (bpf_skb_load_bytes(skb, network + IPV4_SOURCE_OFFSET, pair, sizeof(pair)))
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
	__s64 addresses, all;

	addresses = address_checksum_diff(&old.source, &old.destination, &new);
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
	__s64 diff;

	if (load_addresses(skb, p->network, p->ipv6, &source, &destination) ||
	    rewrite_quoted(skb, p, to, &diff) || bpf_l4_csum_replace(skb, checksum, 0, diff, 0))
		return -1;
	if (!address_equal(&source, &p->tuple.source))
		outer_to.source = source;
	if (!address_equal(&destination, &p->tuple.destination))
		outer_to.destination = destination;
	diff = address_checksum_diff(&source, &destination, &outer_to);
	if (write_addresses(skb, p->network, p->ipv6, &outer_to, diff))
		return -1;
	/* ICMPv6 covers the pseudo header (RFC 4443 2.3), ICMP does not (RFC 792). */
	return p->ipv6 ? update_pseudo_header(skb, checksum, true, 0, diff) : 0;
}

static __always_inline int drop(__u32 forward, enum reason reason)
{
	count_reason(reason);
	if (forward)
		count_forward_drop(forward, reason);
	return TCX_DROP;
}

/* How many packets an skb is on the wire: each segment of a GSO packet has all headers again. */
static __always_inline __u32 skb_segments(const struct __sk_buff *skb, const struct packet *p)
{
	if (!skb->gso_size)
		return 1;
	/* Those that a virtual machine gave us are not counted yet. */
	if (!skb->gso_segs)
		return (skb->len - p->header_length + skb->gso_size - 1) / skb->gso_size;
	return skb->gso_segs;
}

static __always_inline void count_skb(const struct __sk_buff *skb, const struct packet *p,
				      const struct verdict *v)
{
	__u32 segments = skb_segments(skb, p);
	__u64 bytes = skb->len + (segments - 1) * p->header_length;

	if (skb->vlan_present)
		bytes += segments * sizeof(struct vlan_tag);
	count_traffic(v->forward, v->reverse, segments, bytes);
}

/* Gives the packet in scratch the tuple that is decided. */
static __always_inline int apply_skb(struct __sk_buff *skb, const struct scratch *s,
				     const struct tuple *to)
{
	const struct packet *p = &s->packet;

	if (unlikely(p->kind == PACKET_ICMP_ERROR)) {
		if (rewrite_icmp_error(skb, p, to))
			return drop(s->verdict.forward, REASON_REWRITE);
		count_reason(REASON_ICMP_TRANSLATED);
		return TCX_NEXT;
	}
	if (rewrite_transport(skb, p, to))
		return drop(s->verdict.forward, REASON_REWRITE);
	if (s->verdict.forward)
		count_skb(skb, p, &s->verdict);
	else
		count_reason(REASON_DIRECT);
	return TCX_NEXT;
}

/*
 * Parses the skb into scratch, as far as its head is linear. A global function, which the verifier checks once and
 * by itself: what comes after it is checked for any packet at once, not for each way through the parser.
 */
__noinline int parse_linear(struct __sk_buff *skb, int raw)
{
	struct scratch *s = scratch();

	if (!s)
		return REASON_MALFORMED;
	return parse((void *)(long)skb->data, (void *)(long)skb->data_end, skb->len, raw,
		     &s->packet);
}

/*
 * Most of a bulk packet lies in pages, and on its way out not even all headers need lie before data_end.
 * So what is there is tried first, and the head is made whole only if that was too short.
 */
static __always_inline int parse_skb(struct __sk_buff *skb, bool raw)
{
	int verdict = parse_linear(skb, raw);

	if (verdict != PARSE_PULL)
		return verdict;
	if (bpf_skb_pull_data(skb, skb->len < LONGEST_HEADERS ? skb->len : LONGEST_HEADERS))
		return REASON_MALFORMED;
	verdict = parse_linear(skb, raw);
	return verdict == PARSE_PULL ? REASON_MALFORMED : verdict;
}

/*
 * Serves one skb at tc ingress (from_client) or egress. `raw`: the device has no link layer.
 * TCX_NEXT lets other programs see the packet; for a clsact filter the same number means the same.
 */
static __always_inline int serve_skb(struct __sk_buff *skb, bool raw, bool from_client)
{
	struct scratch *s = scratch();
	const struct tuple *to;
	int parsed;

	if (!s)
		return TCX_NEXT;
	if (skb->vlan_present && (skb->vlan_tci & VLAN_ID)) {
		count_reason(REASON_VLAN);
		return TCX_NEXT;
	}
	if (from_client && skb->pkt_type != PACKET_HOST) {
		count_reason(REASON_NOT_THIS_HOST);
		return TCX_NEXT;
	}
	parsed = parse_skb(skb, raw);
	if (parsed != REASON_NONE) {
		count_reason(parsed);
		return TCX_NEXT;
	}
	to = decide(skb, s, skb->ifindex, from_client);
	if (to)
		return apply_skb(skb, s, to);
	if (is_drop(s->verdict.reason))
		return drop(s->verdict.forward, s->verdict.reason);
	count_reason(s->verdict.reason);
	return TCX_NEXT;
}

#endif
