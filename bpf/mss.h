/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The maximum segment size of TCP (RFC 9293 3.7.1). Each end says in its SYN how much it takes in one segment. For a
 * flow elsewhere this number is lowered to what fits both ways through this host, since a path may swallow larger
 * packets and the ICMP errors about them. Only packets with SYN pay for this.
 */
#ifndef XFWD_MSS_H
#define XFWD_MSS_H

#include "local.h"
#include "lookup.h"
#include "mark.h"
#include "rewrite_skb.h"
#include "route.h"

#define TCP_HEADER_LENGTH 20
#define TCP_OPTION_END 0
#define TCP_OPTION_NOTHING 1
#define TCP_OPTION_MSS 2
#define MSS_OPTION_LENGTH 4 /* kind, length, and the value, in network order */

/*
 * The MTU of the route for packets with the tuple `t` and the mark that has the key `mark_key`, that come by the device
 * `ifindex`, or `otherwise` where there is no route. Linux before 5.12 does not tell; then it is the MTU of the device that
 * the route leads to. So it is where the kernel knows no marks and the packets have one.
 */
static __noinline __u32 route_mtu(struct __sk_buff *skb, const struct tuple *t, __u32 mark_key,
				  __u32 ifindex, __u32 otherwise)
{
	struct scratch *s = scratch();
	struct bpf_fib_lookup fib = {};
	struct mark *mark = mark_find(mark_key);
	__u32 marks_as = marked(skb->mark, mark);
	__u32 flags = marks_as ? BPF_FIB_LOOKUP_MARK : 0;
	__u32 told = SHORTEST_PACKET;
	long result;

	if (!t || !s)
		return otherwise;
	fib_ask(&fib, t, ifindex);
	fib.flowinfo = flow_information(skb, &s->packet);
	fib.tot_len = LONGEST_PACKET;
	fib.mark = marks_as;
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), flags);
	if (result == -EINVAL) {
		if (mark)
			return device_mtu(skb, mark->ifindex, otherwise);
		flags = 0;
		result = bpf_fib_lookup(skb, &fib, sizeof(fib), flags);
	}
	/* The kernel does not say which device a packet would leave by that is too big. */
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		if (fib.mtu_result != LONGEST_PACKET)
			told = fib.mtu_result;
		fib.tot_len = SHORTEST_PACKET;
		result = bpf_fib_lookup(skb, &fib, sizeof(fib), flags);
	}
	if (!leads_out(result))
		return otherwise;
	return forwarding_mtu(skb, fib.ifindex, told, address_is_ipv4(&t->destination));
}

/* The most that the settings of the forward let the ends say, MSS_OFF if they may say anything. */
static __always_inline __u32 forward_mss(__u32 id, bool ipv6)
{
	struct forward *f = bpf_map_lookup_elem(&forwards, &id);
	struct settings *set = current_settings();
	__u32 mss = MSS_TO_MTU;
	__u32 of_host;

	if (!set)
		return MSS_OFF;
	/* The forward of a flow that lives on may be gone. */
	if (f)
		mss = f->mss[(set->epoch >= f->changed) & 1];
	if (mss != MSS_TO_MTU)
		return mss;
	of_host = ipv6 ? set->mss6 : set->mss4;
	return of_host ? of_host : MSS_OFF - 1;
}

/*
 * Lowers the value of the MSS option of the TCP packet in scratch to `most`. Returns zero, or what the kernel says
 * if it refuses to change the packet. A global function, which the verifier checks once.
 */
__noinline int lower_mss(struct __sk_buff *skb, __u32 most)
{
	struct scratch *s = scratch();
	__u32 transport, value;
	__u64 length;
	__be16 old, new;
	bool odd;

	if (!s)
		return 0;
	transport = s->packet.transport;
	length = s->packet.header_length - transport - TCP_HEADER_LENGTH;
	/* For verifiers before Linux 6.12 the compiler must not know the bounds already. */
	asm volatile("" : "+r"(length));
	if (length < MSS_OPTION_LENGTH || length > LONGEST_TCP_OPTIONS ||
	    bpf_skb_load_bytes(skb, transport + TCP_HEADER_LENGTH, s->tcp_options, length))
		return 0;
	s->tcp_option = 0;
	for (int i = 0; i < LONGEST_TCP_OPTIONS; i++) {
		/* Read back, the offset is any of its values at once and not a case of its own for each. */
		__u32 offset = s->tcp_option;
		const __u8 *option = &s->tcp_options[offset & TCP_OPTIONS_MASK];

		if (offset + MSS_OPTION_LENGTH > length || option[0] == TCP_OPTION_END)
			return 0;
		if (option[0] == TCP_OPTION_NOTHING) {
			s->tcp_option = offset + 1;
		} else if (option[0] == TCP_OPTION_MSS) {
			break;
		} else {
			if (option[1] < 2)
				return 0;
			s->tcp_option = offset + option[1];
		}
		barrier();
	}
	value = s->tcp_option & TCP_OPTIONS_MASK;
	if (s->tcp_options[value] != TCP_OPTION_MSS ||
	    s->tcp_options[value + 1] != MSS_OPTION_LENGTH)
		return 0;
	value += 2;
	__builtin_memcpy(&old, &s->tcp_options[value], sizeof(old));
	if (bpf_ntohs(old) <= most)
		return 0;
	new = bpf_htons(most);
	/* Where the value is not in one 16-bit word, each of its bytes is summed up in the other one's place. */
	odd = value & 1;
	return bpf_l4_csum_replace(skb, transport + TCP_CHECKSUM_OFFSET,
				   odd ? __builtin_bswap16(old) : old,
				   odd ? __builtin_bswap16(new) : new, sizeof(new)) ||
	       bpf_skb_store_bytes(skb, transport + TCP_HEADER_LENGTH + value, &new, sizeof(new),
				   0);
}

/*
 * Lowers the MSS that the packet in scratch says, which has SYN, has arrived by the device `ifindex` and leaves by the
 * next hop of its flow. The other end's packets go the way back, so their MTU counts most; this way's MTU counts too,
 * for the ends may take it for that of the path. Returns zero, or what the kernel says if it refuses.
 */
static __noinline int clamp_mss(struct __sk_buff *skb, const struct flow *flow, __u32 ifindex)
{
	struct scratch *s = scratch();
	__u32 mark_back = 0;
	struct tuple back;
	__u32 headers, mtu, mtu_back, most;

	if (!s || !flow)
		return 0;
	most = forward_mss(flow->forward, s->packet.ipv6);
	if (most == MSS_OFF)
		return 0;
	back = tuple_reversed(&s->packet.tuple);
	/* As set_route asks for what goes that way. */
	if (flow->flags & FLOW_REVERSE) {
		back.source = flow->to.destination;
		back.source_port = flow->to.destination_port;
	} else {
		mark_back = flow->mark;
	}
	mtu = flow->hop.mtu;
	/* Then the MTU is that of the device, for the kernel tells no other (route_find), and the question is the last one. */
	if (flow->hop.way == WAY_NEIGHBOUR)
		mtu = route_mtu(skb, &s->route, s->route_mark, ifindex, mtu);
	mtu_back =
		route_mtu(skb, &back, mark_back, flow->hop.ifindex, device_mtu(skb, ifindex, mtu));
	if (mtu_back < mtu)
		mtu = mtu_back;
	headers = TCP_HEADER_LENGTH +
		  (s->packet.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	if (mtu < LEAST_MTU)
		mtu = LEAST_MTU;
	return lower_mss(skb, most < mtu - headers ? most : mtu - headers);
}

#endif
