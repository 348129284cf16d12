/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From bytes to struct packet. Nothing here knows the kind of hook: the parser reads between data and
 * data_end. Whatever contradicts itself is reported, never guessed at.
 */
#ifndef XFWD_PARSE_H
#define XFWD_PARSE_H

#include "address.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8

#define IPPROTO_HOPOPTS 0
#define PROTOCOL_UNKNOWN IPPROTO_HOPOPTS /* of a packet whose extension headers go on */
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60

#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_DEST_UNREACH 1 /* to 4, all errors (RFC 4443 2.1) */
#define ICMPV6_PARAMPROB 4

#define LEAST_MTU 68 /* that every link for IPv4 has (RFC 791) */

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define IP6_MF 0x0001
#define IP6_OFFSET 0xfff8

/* Two tags: 802.1ad outside, 802.1Q inside. */
#define MAX_VLAN_TAGS 2
#define LONGEST_LINK_LAYER 31 /* a mask: Ethernet and two tags are 22 */
/* More extension headers than any sane sender uses; RFC 8200 orders at most seven. */
#define MAX_EXTENSION_HEADERS 6

#define TCP_LENGTH_OFFSET 12 /* of the header, in words; the upper half of the byte */
#define TCP_FLAGS_OFFSET 13
#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

struct vlan_tag {
	__be16 tci;
	__be16 protocol; /* of what follows */
};

enum packet_kind {
	PACKET_TRANSPORT,  /* TCP or UDP with its header, perhaps a first fragment */
	PACKET_FRAGMENT,   /* a later fragment: addresses, but no ports */
	PACKET_ICMP_ERROR, /* quotes a packet of a flow */
};

/*
 * A parsed packet. Offsets are in bytes from the start of the frame. For an ICMP error `tuple` is that of
 * a packet which answers the quoted one: of the error's own direction, so the flow that the
 * error is about is found by it, as if it were that packet.
 */
struct packet {
	struct tuple tuple;
	enum packet_kind kind;
	__u32 fragment_id; /* as in struct fragment_key; only if first_fragment or PACKET_FRAGMENT */
	__u32 sequence;	   /* TCP, host order; of an ICMP error that of the quoted segment */
	__u32 acknowledged;    /* TCP, host order */
	__u32 sequence_length; /* TCP: how far the segment moves the sequence number */
	__u32 end;	       /* offset behind the IP packet; a trailer may follow */
	__u32 size; /* bytes of IP packet that a device must take at once: of a GSO packet, a segment's */
	__u16 network;	      /* offset of the IP header */
	__u16 transport;      /* offset of the TCP, UDP or ICMP header */
	__u16 header_length;  /* link layer to TCP or UDP header, both included */
	__u16 quoted_network; /* ICMP error: offset of the quoted IP header */
	__u16 quoted_transport;
	__u8 tcp_flags;
	__u8 ttl;	     /* or hop limit */
	bool first_fragment; /* of several */
	bool unchecked;	     /* UDP without checksum */
	bool ipv6;
};

/* Beside a reason: the headers go on behind data_end, but not behind the packet's end. */
#define PARSE_PULL (-1)

/*
 * Whether a header can be read that ends at `behind`, which is offset `end` of the frame: REASON_NONE if so. What
 * ends behind the packet, but before data_end, is in a trailer; that is for the caller to see, once for all its headers,
 * for each comparison here would be one more case for the verifier everywhere.
 */
static __always_inline int reach(void *behind, void *data_end, __u32 end, __u32 limit)
{
	if (behind <= data_end)
		return REASON_NONE;
	return end > limit ? REASON_MALFORMED : PARSE_PULL;
}

/* The halves of a header's byte. As bit fields, their order would be that of the machine which vmlinux.h is from. */
static __always_inline __u8 high_nibble(const void *byte)
{
	return *(const __u8 *)byte >> 4;
}

static __always_inline __u8 low_nibble(const void *byte)
{
	return *(const __u8 *)byte & 0x0f;
}

/* What one IP header says, the outer or the quoted, beside its addresses. */
struct network {
	__u32 fragment_id;
	__u32 end; /* offset behind the packet by its own length field, or a bound where it has none */
	__u16 transport; /* offset */
	__u8 ttl;	 /* or hop limit */
	__u8 protocol;	 /* of the transport header */
	bool first_fragment;
	bool later_fragment;
};

static __always_inline int parse_ipv4(void *data, void *data_end, __u32 offset, __u32 length,
				      bool merged, struct address *source,
				      struct address *destination, struct network *n)
{
	struct iphdr *ip = data + offset;
	__u32 header_length, total_length;
	__u16 fragment;
	int verdict;

	verdict = reach(ip + 1, data_end, offset + sizeof(*ip), length);
	if (verdict != REASON_NONE)
		return verdict;
	header_length = low_nibble(ip) * 4;
	total_length = bpf_ntohs(ip->tot_len);
	/* A packet over 64 KB made by GRO has no length (BIG TCP, Linux 6.3). */
	if (!total_length && merged)
		total_length = length - offset;
	if (high_nibble(ip) != 4 || header_length < sizeof(*ip) || total_length < header_length)
		return REASON_MALFORMED;

	fragment = bpf_ntohs(ip->frag_off);
	*source = address_from_ipv4(ip->saddr);
	*destination = address_from_ipv4(ip->daddr);
	n->ttl = ip->ttl;
	n->protocol = ip->protocol;
	n->transport = offset + header_length;
	n->end = offset + total_length;
	n->fragment_id = bpf_ntohs(ip->id);
	n->later_fragment = fragment & IP_OFFSET;
	n->first_fragment = !n->later_fragment && (fragment & IP_MF);
	return REASON_NONE;
}

/* Whether the parser follows the headers of IPv6 behind this one. */
static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS;
}

static __always_inline int parse_ipv6(void *data, void *data_end, __u32 offset, __u32 length,
				      bool merged, struct address *source,
				      struct address *destination, struct network *n)
{
	struct ipv6hdr *ip = data + offset;
	__u32 next, total_length;
	__u8 protocol;
	int verdict;

	verdict = reach(ip + 1, data_end, offset + sizeof(*ip), length);
	if (verdict != REASON_NONE)
		return verdict;
	if (high_nibble(ip) != 6)
		return REASON_MALFORMED;
	total_length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	/* No length: a jumbogram, which is how GRO carries over 64 KB (BIG TCP, Linux 5.19). */
	if (!ip->payload_len)
		total_length = length - offset;
	*source = address_from_ipv6(ip->saddr.in6_u.u6_addr32);
	*destination = address_from_ipv6(ip->daddr.in6_u.u6_addr32);
	/* Such are not for packets on a wire (RFC 4291 2.5.5.2), and to us they would be IPv4's. */
	if (address_is_ipv4(source) || address_is_ipv4(destination))
		return REASON_MARTIAN;
	if (!ip->payload_len && !merged)
		return REASON_MALFORMED;
	n->ttl = ip->hop_limit;
	n->end = offset + total_length;
	n->fragment_id = 0;
	n->first_fragment = false;
	n->later_fragment = false;

	protocol = ip->nexthdr;
	next = offset + sizeof(*ip);
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		struct ipv6_opt_hdr *extension = data + next;
		struct ipv6_rt_hdr *routing = data + next;
		struct frag_hdr *fragment = data + next;

		if (protocol == IPPROTO_FRAGMENT) {
			__u16 position;

			verdict = reach(fragment + 1, data_end, next + sizeof(*fragment), length);
			if (verdict != REASON_NONE)
				return verdict;
			position = bpf_ntohs(fragment->frag_off);
			n->fragment_id = bpf_ntohl(fragment->identification);
			n->later_fragment = position & IP6_OFFSET;
			n->first_fragment = !n->later_fragment && (position & IP6_MF);
			protocol = fragment->nexthdr;
			next += sizeof(*fragment);
			/* What a later fragment begins with is payload. */
			if (n->later_fragment)
				break;
		} else if (protocol == IPPROTO_ROUTING) {
			verdict = reach(routing + 1, data_end, next + sizeof(*routing), length);
			if (verdict != REASON_NONE)
				return verdict;
			/* The destination is a stop on the way (RFC 8200 4.4). */
			if (routing->segments_left)
				return REASON_NOT_THIS_HOST;
			protocol = routing->nexthdr;
			next += (routing->hdrlen + 1) * 8;
		} else if (protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_DSTOPTS) {
			verdict = reach(extension + 1, data_end, next + sizeof(*extension), length);
			if (verdict != REASON_NONE)
				return verdict;
			protocol = extension->nexthdr;
			next += (extension->hdrlen + 1) * 8;
		} else {
			break;
		}
	}
	/* The kernel would go on. */
	if (!n->later_fragment && is_extension(protocol))
		return REASON_MALFORMED;
	n->protocol = protocol;
	n->transport = next;
	return REASON_NONE;
}

static __always_inline int parse_network(void *data, void *data_end, __u32 offset, __u32 length,
					 bool ipv6, bool merged, struct address *source,
					 struct address *destination, struct network *n)
{
	return ipv6 ? parse_ipv6(data, data_end, offset, length, merged, source, destination, n) :
		      parse_ipv4(data, data_end, offset, length, merged, source, destination, n);
}

/* The first bytes of either header; of TCP's the first eight, which errors quote (RFC 792). */
struct transport_ports {
	__be16 source;
	__be16 destination;
};

struct quoted_segment {
	struct transport_ports ports;
	__be32 sequence;
};

static __always_inline bool is_icmp_error(bool ipv6, __u8 type)
{
	if (ipv6)
		return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* An ICMP error: what it quotes is at least an IP header and eight bytes (RFC 792). */
static __always_inline int parse_icmp(void *data, void *data_end, const struct network *outer,
				      struct packet *p)
{
	__u32 offset = outer->transport;
	struct icmphdr *icmp = data + offset;
	struct transport_ports *ports;
	struct quoted_segment *segment;
	struct network quoted;
	int verdict;

	verdict = reach(icmp + 1, data_end, offset + sizeof(*icmp), outer->end);
	if (verdict != REASON_NONE)
		return verdict;
	if (!is_icmp_error(p->ipv6, icmp->type))
		return REASON_ICMP_UNRELATED;

	p->quoted_network = offset + sizeof(*icmp);
	/* What answers the quoted packet comes from where that went. */
	verdict = parse_network(data, data_end, p->quoted_network, outer->end, p->ipv6, true,
				&p->tuple.destination, &p->tuple.source, &quoted);
	if (verdict != REASON_NONE)
		return verdict;
	if (quoted.later_fragment ||
	    (quoted.protocol != IPPROTO_TCP && quoted.protocol != IPPROTO_UDP))
		return REASON_ICMP_UNRELATED;
	p->quoted_transport = quoted.transport;
	ports = data + p->quoted_transport;
	verdict = reach(ports + 1, data_end, p->quoted_transport + sizeof(*ports), outer->end);
	if (verdict != REASON_NONE)
		return verdict;
	if (p->quoted_transport + sizeof(*ports) > outer->end)
		return REASON_MALFORMED;
	if (quoted.protocol == IPPROTO_TCP) {
		segment = data + p->quoted_transport;
		verdict = reach(segment + 1, data_end, p->quoted_transport + sizeof(*segment),
				outer->end);
		if (verdict != REASON_NONE)
			return verdict;
		if (p->quoted_transport + sizeof(*segment) > outer->end)
			return REASON_MALFORMED;
		p->sequence = bpf_ntohl(segment->sequence);
	}
	p->kind = PACKET_ICMP_ERROR;
	p->tuple.source_port = ports->destination;
	p->tuple.destination_port = ports->source;
	p->tuple.protocol = quoted.protocol;
	return REASON_NONE;
}

static __always_inline int parse_tcp(void *data, void *data_end, const struct network *n,
				     struct packet *p)
{
	__u32 offset = p->transport;
	struct tcphdr *tcp = data + offset;
	__u32 header_length;
	int verdict;

	verdict = reach(tcp + 1, data_end, offset + sizeof(*tcp), n->end);
	if (verdict != REASON_NONE)
		return verdict;
	header_length = high_nibble((__u8 *)tcp + TCP_LENGTH_OFFSET) * 4;
	if (header_length < sizeof(*tcp) || offset + header_length > n->end)
		return REASON_MALFORMED;
	p->tuple.source_port = tcp->source;
	p->tuple.destination_port = tcp->dest;
	p->tcp_flags = ((__u8 *)tcp)[TCP_FLAGS_OFFSET];
	p->sequence = bpf_ntohl(tcp->seq);
	p->acknowledged = bpf_ntohl(tcp->ack_seq);
	p->sequence_length = n->end - offset - header_length;
	if (p->tcp_flags & TCP_FLAG_SYN)
		p->sequence_length++;
	if (p->tcp_flags & TCP_FLAG_FIN)
		p->sequence_length++;
	p->header_length = offset + header_length;
	return REASON_NONE;
}

static __always_inline int parse_udp(void *data, void *data_end, const struct network *n,
				     struct packet *p)
{
	__u32 offset = p->transport;
	struct udphdr *udp = data + offset;
	int verdict;

	verdict = reach(udp + 1, data_end, offset + sizeof(*udp), n->end);
	if (verdict != REASON_NONE)
		return verdict;
	if (offset + sizeof(*udp) > n->end)
		return REASON_MALFORMED;
	p->tuple.source_port = udp->source;
	p->tuple.destination_port = udp->dest;
	p->unchecked = !udp->check;
	p->header_length = offset + sizeof(*udp);
	return REASON_NONE;
}

/* Finds the IP header behind the link layer's; tags are skipped. Returns PARSE_PULL or a reason, perhaps
 * none. */
static __always_inline int parse_ethernet(void *data, void *data_end, __u32 length,
					  struct packet *p)
{
	struct ethhdr *ethernet = data;
	__u32 offset = sizeof(*ethernet);
	__be16 protocol;
	int verdict;

	verdict = reach(ethernet + 1, data_end, offset, length);
	if (verdict != REASON_NONE)
		return verdict;
	protocol = ethernet->h_proto;
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		struct vlan_tag *tag = data + offset;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		verdict = reach(tag + 1, data_end, offset + sizeof(*tag), length);
		if (verdict != REASON_NONE)
			return verdict;
		protocol = tag->protocol;
		offset += sizeof(*tag);
	}
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
		return REASON_NOT_IP;
	p->ipv6 = protocol == bpf_htons(ETH_P_IPV6);
	p->network = offset;
	return REASON_NONE;
}

/* Finds the IP header on a device without a link layer (tun, WireGuard): it is the first thing. */
static __always_inline int parse_raw(void *data, void *data_end, __u32 length, struct packet *p)
{
	__u8 *version = data;
	int verdict;

	verdict = reach(version + 1, data_end, sizeof(*version), length);
	if (verdict != REASON_NONE)
		return verdict;
	p->network = 0;
	p->ipv6 = high_nibble(version) == 6;
	return p->ipv6 || high_nibble(version) == 4 ? REASON_NONE : REASON_NOT_IP;
}

/*
 * Parses a frame of `length` bytes of which those from data to data_end can be read. Returns REASON_NONE,
 * PARSE_PULL when more of it must be made readable, or the reason why it is none of ours.
 * `merged`: the kernel has made it of several packets.
 */
static __always_inline int parse(void *data, void *data_end, __u32 length, bool raw, bool merged,
				 struct packet *p)
{
	struct network n;
	__u32 network;
	int verdict;

	p->tcp_flags = 0;
	p->unchecked = false;
	/* For may_be_for_frontend, which sees what was found until something is malformed. */
	p->tuple.destination = (struct address){};
	p->tuple.protocol = PROTOCOL_UNKNOWN;
	verdict = raw ? parse_raw(data, data_end, length, p) :
			parse_ethernet(data, data_end, length, p);
	if (verdict != REASON_NONE)
		return verdict;
	/* Read back, the offset is any of its values at once and not a case of its own for each. */
	barrier();
	network = p->network & LONGEST_LINK_LAYER;
	verdict = parse_network(data, data_end, network, length, p->ipv6, merged, &p->tuple.source,
				&p->tuple.destination, &n);
	if (verdict != REASON_NONE)
		return verdict;
	if (n.end > length)
		return REASON_MALFORMED;

	p->tuple.protocol = n.protocol;
	p->transport = n.transport;
	p->end = n.end;
	p->size = n.end - network;
	p->ttl = n.ttl;
	p->fragment_id = n.fragment_id;
	p->first_fragment = n.first_fragment;
	if (n.later_fragment) {
		p->kind = PACKET_FRAGMENT;
		p->header_length = n.transport;
		return REASON_NONE;
	}
	p->kind = PACKET_TRANSPORT;
	switch (n.protocol) {
	case IPPROTO_TCP:
		return parse_tcp(data, data_end, &n, p);
	case IPPROTO_UDP:
		return parse_udp(data, data_end, &n, p);
	case IPPROTO_ICMP:
		return p->ipv6 ? REASON_NOT_IP : parse_icmp(data, data_end, &n, p);
	case IPPROTO_ICMPV6:
		return p->ipv6 ? parse_icmp(data, data_end, &n, p) : REASON_NOT_IP;
	}
	return REASON_NOT_IP;
}

#endif
