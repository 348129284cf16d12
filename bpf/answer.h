/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What senders are told whose packets go no further: a TCP reset or an ICMP error, from the address that
 * they sent to, back by the device that the packet came by. The skb becomes the answer.
 */
#ifndef XFWD_ANSWER_H
#define XFWD_ANSWER_H

#include "config.h"
#include "flow.h"
#include "rewrite_skb.h"
#include "scratch.h"

#define ICMP_HOST_UNREACHABLE 1
#define ICMP_PORT_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMPV6_NO_ROUTE 0
#define ICMPV6_PORT_UNREACHABLE 4
#define ICMPV6_PACKET_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3

#define ETHERNET_GROUP 1 /* in the first byte of an address (IEEE 802 8.2.2) */

#define TOS_INTERNETWORK_CONTROL 0xc0 /* of an error (RFC 1812 4.3.2.5) */
#define ANSWER_TTL 64

/* How long an error may become by what it quotes, its IP header included: RFC 1812 4.3.2.3, RFC 4443 2.4(c). */
#define LONGEST_ERROR 576
#define LONGEST_ERROR_IPV6 1280
#define LONGEST_QUOTE (LONGEST_ERROR_IPV6 - sizeof(struct ipv6hdr) - sizeof(struct icmphdr))
#define QUOTE_MASK 0x7ff /* for the verifier: LONGEST_QUOTE is less */

/* Of each kind, on each CPU. As many at once, too: neither a traceroute nor a crowd of clients need wait. */
#define ANSWERS_PER_SECOND 1000
/* Of each kind, to one client: enough for a network behind one address, and too few to use up the answers for all clients. */
#define ANSWERS_PER_CLIENT 100

enum answer {
	ANSWER_NONE,
	ANSWER_REFUSED, /* nobody serves this port */
	ANSWER_NO_ROUTE,
	ANSWER_TOO_BIG,	      /* and what would not be */
	ANSWER_TIME_EXCEEDED, /* of the TTL or hop limit */
};

#define ANSWER_MASK 7 /* for the verifier: all of enum answer are less */

/*
 * Token buckets of answers (RFC 1812 4.3.2.8, RFC 4443 2.4(f)), one for each kind, so that a flood of packets that are
 * refused leaves path MTU discovery alone. Each is the now() at which it is full.
 */
struct answer_buckets {
	__u64 full_at[ANSWER_MASK + 1];
};

/* Room to build an answer in. Either IP header ends where the message begins. */
struct answering {
	struct answer_buckets buckets;	 /* for what anybody can ask for */
	struct answer_buckets confirmed; /* for packets of confirmed flows */
	union {
		struct ipv6hdr ipv6;
		struct {
			__u8 unused[sizeof(struct ipv6hdr) - sizeof(struct iphdr)];
			struct iphdr ipv4;
		};
	};
	union {
		struct tcphdr tcp;
		struct {
			struct icmphdr icmp;
			__u8 quote[QUOTE_MASK + 1 + sizeof(__u32)];
		};
	};
};

/* Without the type of the value, for Go has no use for it and no unions. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct answering));
} answers SEC(".maps");

/* The buckets of clients, keyed by an address of IPv4 or a /64 of IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct address);
	__type(value, struct answer_buckets);
} answered_clients SEC(".maps");

static __always_inline enum answer answer_for(enum reason reason)
{
	switch (reason) {
	case REASON_NO_BACKEND:
		return ANSWER_REFUSED;
	case REASON_NO_ROUTE:
	case REASON_NO_NEIGHBOUR:
	case REASON_FORWARDING_OFF:
		return ANSWER_NO_ROUTE;
	case REASON_TOO_BIG:
		return ANSWER_TOO_BIG;
	case REASON_TIME_EXCEEDED:
		return ANSWER_TIME_EXCEEDED;
	default:
		return ANSWER_NONE;
	}
}

/* When a bucket is full that gives one more token; zero: it has none. */
static __always_inline __u64 after_token(__u64 full_at, __u64 time, __u64 per_second)
{
	full_at = (full_at > time ? full_at : time) + SECOND / per_second;
	return full_at - time > SECOND ? 0 : full_at;
}

/* The buckets of a client; NULL: the kernel has no room. */
static __always_inline struct answer_buckets *client_buckets(const struct address *client)
{
	struct address key = *client;
	struct answer_buckets *known, full = {};

	/* Who has one address of a /64 has all. */
	if (!address_is_ipv4(client))
		key.word[2] = key.word[3] = 0;
	known = bpf_map_lookup_elem(&answered_clients, &key);
	if (known)
		return known;
	bpf_map_update_elem(&answered_clients, &key, &full, BPF_NOEXIST);
	return bpf_map_lookup_elem(&answered_clients, &key);
}

/*
 * Takes a token for an answer to the packet in scratch, from the buckets of all and of its client. The packets of confirmed
 * flows have buckets of their own, for a flood that anybody can send must not keep their senders from learning the path
 * MTU. A global function, which the verifier checks once.
 */
__noinline int may_answer_now(__u32 answer)
{
	__u32 zero = 0;
	struct answering *a = bpf_map_lookup_elem(&answers, &zero);
	struct scratch *s = scratch();
	struct answer_buckets *all, *own;
	__u64 time = now(), all_full_at, own_full_at;

	if (!a || !s)
		return false;
	answer &= ANSWER_MASK;
	all = flow_find(&s->packet.tuple).established ? &a->confirmed : &a->buckets;
	all_full_at = after_token(all->full_at[answer], time, ANSWERS_PER_SECOND);
	/* Before the client's is made: a flood of forged clients shall cost little. */
	if (!all_full_at)
		return false;
	own = client_buckets(&s->packet.tuple.source);
	if (!own)
		return false;
	own_full_at = after_token(own->full_at[answer], time, ANSWERS_PER_CLIENT);
	if (!own_full_at)
		return false;
	all->full_at[answer] = all_full_at;
	own->full_at[answer] = own_full_at;
	return true;
}

/*
 * Never answered are errors, later fragments, what is not from one node to one other (RFC 1122 3.2.2, RFC 4443
 * 2.4(e)), and a reset by a reset (RFC 9293 3.10.7.1). Link-layer broadcasts do not come here.
 */
static __always_inline bool may_answer(const struct packet *p, bool reset)
{
	const struct tuple *t = &p->tuple;

	return p->kind == PACKET_TRANSPORT && !(reset && (p->tcp_flags & TCP_FLAG_RST)) &&
	       !address_is_unspecified(&t->source) && !address_is_loopback(&t->source) &&
	       !address_is_multicast(&t->source) && !address_is_multicast(&t->destination);
}

/* The IP header of an answer to the packet, before a message of `length` bytes. */
static __always_inline void build_network(struct answering *a, const struct packet *p,
					  __u8 protocol, __u32 length)
{
	const struct tuple *t = &p->tuple;

	if (p->ipv6) {
		a->ipv6 = (struct ipv6hdr){
			.payload_len = bpf_htons(length),
			.nexthdr = protocol,
			.hop_limit = ANSWER_TTL,
		};
		*(__u8 *)&a->ipv6 = 6 << 4; /* version */
		__builtin_memcpy(&a->ipv6.saddr, &t->destination, sizeof(t->destination));
		__builtin_memcpy(&a->ipv6.daddr, &t->source, sizeof(t->source));
		return;
	}
	a->ipv4 = (struct iphdr){
		.tos = protocol == IPPROTO_ICMP ? TOS_INTERNETWORK_CONTROL : 0,
		.tot_len = bpf_htons(sizeof(struct iphdr) + length),
		.id = bpf_get_prandom_u32(),
		.ttl = ANSWER_TTL,
		.protocol = protocol,
		.saddr = t->destination.word[3],
		.daddr = t->source.word[3],
	};
	*(__u8 *)&a->ipv4 = 4 << 4 | sizeof(a->ipv4) / 4; /* version, length in words */
	a->ipv4.check = checksum_change(
		NO_CHECKSUM, bpf_csum_diff(NULL, 0, (__be32 *)&a->ipv4, sizeof(a->ipv4), 0));
}

/* RFC 9293 3.10.7.1. Returns the length of the message. */
static __always_inline __u32 build_reset(struct answering *a, const struct packet *p)
{
	const __u32 length = sizeof(a->tcp);
	bool acknowledges = p->tcp_flags & TCP_FLAG_ACK;

	a->tcp = (struct tcphdr){
		.source = p->tuple.destination_port,
		.dest = p->tuple.source_port,
		.seq = acknowledges ? bpf_htonl(p->acknowledged) : 0,
		.ack_seq = acknowledges ? 0 : bpf_htonl(p->sequence + p->sequence_length),
	};
	((__u8 *)&a->tcp)[TCP_LENGTH_OFFSET] = sizeof(a->tcp) / 4 << 4; /* length in words */
	((__u8 *)&a->tcp)[TCP_FLAGS_OFFSET] =
		acknowledges ? TCP_FLAG_RST : TCP_FLAG_RST | TCP_FLAG_ACK;
	a->tcp.check = checksum_change(NO_CHECKSUM,
				       bpf_csum_diff(NULL, 0, (__be32 *)&a->tcp, length,
						     sum_pseudo_header(p, IPPROTO_TCP, length)));
	build_network(a, p, IPPROTO_TCP, length);
	return length;
}

static __always_inline void set_error(struct icmphdr *icmp, bool ipv6, enum answer answer,
				      __u32 mtu)
{
	__u8 type = ipv6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH;
	__u8 code = ipv6 ? ICMPV6_NO_ROUTE : ICMP_HOST_UNREACHABLE;
	__u32 value = 0;

	switch (answer) {
	case ANSWER_REFUSED:
		code = ipv6 ? ICMPV6_PORT_UNREACHABLE : ICMP_PORT_UNREACHABLE;
		break;
	case ANSWER_TOO_BIG:
		type = ipv6 ? ICMPV6_PACKET_TOO_BIG : type;
		code = ipv6 ? 0 : ICMP_FRAGMENTATION_NEEDED;
		value = mtu;
		break;
	case ANSWER_TIME_EXCEEDED:
		type = ipv6 ? ICMPV6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED;
		code = 0;
		break;
	default:
		break;
	}
	/* ICMP's MTU (RFC 1191) is the lower half of the field that ICMPv6 has for it. */
	*icmp = (struct icmphdr){ .type = type, .code = code, .un.gateway = bpf_htonl(value) };
}

/* An ICMP or ICMPv6 error that quotes the packet. Returns the length of the message, 0 if there is none. */
static __always_inline __u32 build_error(struct __sk_buff *skb, struct answering *a,
					 const struct packet *p, enum answer answer, __u32 mtu)
{
	__u8 protocol = p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	__u32 longest = p->ipv6 ? LONGEST_QUOTE : LONGEST_ERROR - sizeof(a->ipv4) - sizeof(a->icmp);
	__u64 quoted = p->end - p->network;
	__u32 length;

	if (quoted > longest)
		quoted = longest;
	/* Whole words are summed up; these are the last. */
	__builtin_memset(a->quote + (quoted & QUOTE_MASK), 0, sizeof(__u32));
	/* For verifiers before Linux 6.12 the compiler must not know the bounds already. */
	asm volatile("" : "+r"(quoted));
	if (quoted < sizeof(a->ipv4) || quoted > LONGEST_QUOTE ||
	    bpf_skb_load_bytes(skb, p->network, a->quote, quoted))
		return 0;
	length = sizeof(a->icmp) + quoted;
	set_error(&a->icmp, p->ipv6, answer, mtu);
	a->icmp.checksum = checksum_change(
		NO_CHECKSUM, sum_words(&a->icmp, length, QUOTE_MASK,
				       p->ipv6 ? sum_pseudo_header(p, protocol, length) : 0));
	build_network(a, p, protocol, length);
	return length;
}

/* No answer goes to a group: one frame could ask for an answer to all stations. */
static __always_inline long swap_link_layer(struct __sk_buff *skb)
{
	__u8 addresses[2][6];

	return bpf_skb_load_bytes(skb, 0, addresses, sizeof(addresses)) ||
	       (addresses[1][0] & ETHERNET_GROUP) ||
	       bpf_skb_store_bytes(skb, 0, addresses[1], sizeof(addresses[1]), 0) ||
	       bpf_skb_store_bytes(skb, sizeof(addresses[1]), addresses[0], sizeof(addresses[0]),
				   0);
}

/*
 * Answers the packet in scratch, which the skb still has as it came; at ingress only. `answer` is an enum
 * answer, `mtu` what the packet was too big for. Returns what the program is to return: the answer's way out,
 * or TCX_DROP if there is none. Global, so that the verifier checks it once.
 */
__noinline int answer_skb(struct __sk_buff *skb, __u32 answer, __u32 mtu, int raw)
{
	__u32 zero = 0;
	struct answering *a = bpf_map_lookup_elem(&answers, &zero);
	struct scratch *s = scratch();
	const struct packet *p;
	const void *packet;
	__u32 message, header;
	bool reset;

	if (!a || !s)
		return TCX_DROP;
	p = &s->packet;
	reset = answer == ANSWER_REFUSED && p->tuple.protocol == IPPROTO_TCP;
	if (!may_answer(p, reset) || !may_answer_now(answer))
		return TCX_DROP;
	message = reset ? build_reset(a, p) : build_error(skb, a, p, answer, mtu);
	header = p->ipv6 ? sizeof(a->ipv6) : sizeof(a->ipv4);
	packet = p->ipv6 ? (void *)&a->ipv6 : (void *)&a->ipv4;
	if (!message || clear_packet(skb, p->network + header, message) ||
	    bpf_skb_store_bytes(skb, p->network, packet, header + message, 0) ||
	    (!raw && swap_link_layer(skb)))
		return TCX_DROP;
	/* Our own program is not to translate it on its way out. */
	skb->tc_index = served_mark | SERVED_LEAVING;
	return bpf_redirect(skb->ifindex, 0);
}

#endif
