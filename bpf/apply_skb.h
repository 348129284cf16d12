/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Serves an skb: parses it, has it decided about, and carries the verdict out. */
#ifndef XFWD_APPLY_SKB_H
#define XFWD_APPLY_SKB_H

#include "answer.h"
#include "decide.h"
#include "fragment_skb.h"
#include "mss.h"
#include "rewrite_skb.h"
#include "unreadable.h"

#define PACKET_HOST 0
#define VLAN_ID 0x0fff /* in the tag control information; 0 is a priority tag (802.1Q 9.6) */

/* Ethernet with tags, IPv6 with extension headers, ICMPv6, and the same again quoted, generously. */
#define LONGEST_HEADERS 512

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
	count_traffic(v->forward, v->backend, v->reverse, segments, bytes);
}

/* The packet for which the next hop was looked up was sent to us: so XDP knows what others must be sent to. */
static __always_inline void note_received_at(const struct __sk_buff *skb, struct next_hop *hop)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;

	if ((void *)(ethernet + 1) <= (void *)(long)skb->data_end)
		__builtin_memcpy(hop->received_at, ethernet->h_dest, sizeof(hop->received_at));
}

/* The kernel replaces an Ethernet header, and drops what has none. */
static __always_inline long add_link_layer(struct __sk_buff *skb, bool raw)
{
	return raw ? bpf_skb_change_head(skb, sizeof(struct ethhdr), 0) : 0;
}

/* Has the kernel look up a route by the device of the flow's next hop, with the flow's mark. */
static __always_inline int send_by_mark(struct __sk_buff *skb, struct scratch *s,
					const struct flow *flow, bool raw)
{
	__u32 mark = skb->mark;

	if (add_link_layer(skb, raw))
		return drop(s->verdict.forward, REASON_REWRITE);
	mark = marked(mark, mark_find(flow->mark));
	/* The verifier wants the offset of a field of the context in the instruction that uses it. */
	barrier();
	skb->mark = mark;
	return bpf_redirect_neigh(flow->hop.ifindex, NULL, 0, 0);
}

/* Hands an skb that has its new tuple to the device that it leaves by. */
static __always_inline int send_skb(struct __sk_buff *skb, struct scratch *s, struct flow *flow,
				    bool raw)
{
	struct next_hop *hop = &flow->hop;
	bool to_peer = hop->way == WAY_PEER && !raw;

	if (unlikely(s->verdict.renewed && hop->xdp && !raw))
		note_received_at(skb, hop);
	/* A priority tag (802.1Q) says something to this link only. */
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return drop(s->verdict.forward, REASON_REWRITE);
	/* Our egress program there has nothing to do with it. A peer's device has none of ours. */
	if (!to_peer)
		skb->tc_index = served_mark | SERVED_LEAVING;
	if (hop->way == WAY_DEVICE)
		return bpf_redirect(hop->ifindex, 0);
	if (unlikely(hop->way == WAY_MARK))
		return send_by_mark(skb, s, flow, raw);
	/* No neighbour is asked on the way to a peer, so none need be kept fresh. */
	if (s->verdict.renewed && !to_peer) {
		if (add_link_layer(skb, raw))
			return drop(s->verdict.forward, REASON_REWRITE);
		return bpf_redirect_neigh(hop->ifindex, &s->neighbour, sizeof(s->neighbour), 0);
	}
	if (!write_link_layer((void *)(long)skb->data, (void *)(long)skb->data_end, hop))
		return drop(s->verdict.forward, REASON_REWRITE);
	return to_peer ? bpf_redirect_peer(hop->ifindex, 0) : bpf_redirect(hop->ifindex, 0);
}

/*
 * Gives the packet in scratch the tuple of its flow, and sends it on if the flow's other end is elsewhere. `mark` is for
 * the next program of ours that sees it; 0: there is none.
 */
static __always_inline int apply_skb(struct __sk_buff *skb, struct scratch *s, struct flow *flow,
				     __u32 ifindex, bool raw, bool arriving, __u16 mark)
{
	const struct packet *p = &s->packet;
	bool elsewhere = arriving && (flow->flags & FLOW_ELSEWHERE);

	if (unlikely(elsewhere && p->size > flow->hop.mtu))
		return fragment_skb(skb, flow->hop.mtu);
	if (unlikely(p->tcp_flags & TCP_FLAG_SYN) && elsewhere && clamp_mss(skb, flow, ifindex))
		return drop(s->verdict.forward, REASON_REWRITE);
	if (unlikely(p->kind == PACKET_ICMP_ERROR)) {
		if (rewrite_icmp_error(skb, p, &flow->to) || (elsewhere && decrement_ttl(skb, p)))
			return drop(s->verdict.forward, REASON_REWRITE);
		count_reason(REASON_ICMP_TRANSLATED);
	} else {
		if (rewrite_transport(skb, p, &flow->to, elsewhere))
			return drop(s->verdict.forward, REASON_REWRITE);
		if (s->verdict.forward)
			count_skb(skb, p, &s->verdict);
		else
			count_reason(REASON_DIRECT);
	}
	if (!elsewhere) {
		if (mark)
			skb->tc_index = mark;
		return TCX_NEXT;
	}
	return send_skb(skb, s, flow, raw);
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
		     skb->gso_size, &s->packet);
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

/* The next hop's device takes a GSO packet, but each of its segments must fit. */
static __always_inline void note_segment_size(const struct __sk_buff *skb, struct packet *p)
{
	if (skb->gso_size)
		p->size = skb->gso_size + p->header_length - p->network;
}

/* What becomes of a packet that follows no flow. */
static __always_inline int dismiss_skb(struct __sk_buff *skb, const struct verdict *v, bool raw,
				       bool arriving)
{
	enum answer answer = arriving ? answer_for(v->reason) : ANSWER_NONE;

	if (!is_drop(v->reason)) {
		count_reason(v->reason);
		return TCX_NEXT;
	}
	count_drop(v->forward, v->reason);
	return answer == ANSWER_NONE ? TCX_DROP : answer_skb(skb, answer, v->mtu, raw);
}

/*
 * Serves an skb that `ifindex` has as its IP layer, at ingress (arriving) or egress. `raw`: it begins with its IP header.
 * `mark`: see apply_skb. TCX_NEXT lets other programs see the packet; for a clsact filter the same number means the same.
 */
static __always_inline int serve_skb(struct __sk_buff *skb, __u32 ifindex, bool raw, bool arriving,
				     __u16 mark)
{
	struct scratch *s = scratch();
	struct flow *flow;
	int parsed;

	if (!s)
		return TCX_NEXT;
	if (skb->vlan_present && (skb->vlan_tci & VLAN_ID)) {
		count_reason(REASON_VLAN);
		return TCX_NEXT;
	}
	parsed = parse_skb(skb, raw);
	if (unlikely(parsed != REASON_NONE)) {
		if (parsed == REASON_MALFORMED && arriving && may_be_for_frontend(skb, ifindex))
			return drop(s->verdict.forward, REASON_UNREADABLE);
		count_reason(parsed);
		return TCX_NEXT;
	}
	note_segment_size(skb, &s->packet);
	flow = decide(skb, s, ifindex, arriving);
	if (unlikely(!flow))
		return dismiss_skb(skb, &s->verdict, raw, arriving);
	return apply_skb(skb, s, flow, ifindex, raw, arriving, mark);
}

/*
 * Takes the mark of a program of ours from the skb that has served it on its way here from another device. Returns it; 0:
 * there is none. A packet that was served on its way in is served again on its way out: netfilter may have translated it
 * since. One that comes in with the mark of the way out has been in another namespace, so that mark means nothing any more.
 */
static __always_inline __u32 take_mark(struct __sk_buff *skb)
{
	__u32 mark = skb->tc_index;

	if (likely((mark & ~SERVED_LEAVING) != served_mark))
		return 0;
	skb->tc_index = 0;
	return mark;
}

static __always_inline int serve_ingress(struct __sk_buff *skb, bool raw)
{
	if (take_mark(skb) == served_mark)
		return TCX_NEXT;
	if (skb->pkt_type != PACKET_HOST) {
		count_reason(REASON_NOT_THIS_HOST);
		return TCX_NEXT;
	}
	return serve_skb(skb, skb->ifindex, raw, true, 0);
}

/* What leaves by a device on top of another meets our program again on that one: so the mark stays. */
static __always_inline bool is_stacked(__u32 ifindex)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

	return device && (device->flags & DEVICE_STACKED);
}

static __always_inline int serve_egress(struct __sk_buff *skb, bool raw)
{
	const __u16 mark = served_mark | SERVED_LEAVING;

	if (take_mark(skb) == mark) {
		if (is_stacked(skb->ifindex))
			skb->tc_index = mark;
		return TCX_NEXT;
	}
	return serve_skb(skb, skb->ifindex, raw, false, 0);
}

/*
 * Serves what leaves by a bridge whose ports have programs of ours at their egress, too. These must leave alone what
 * follows a flow here. The bridge's netfilter may not have translated the rest yet: what it sends from port to port comes
 * by here if it must find out the neighbour first.
 */
static __always_inline int serve_bridge_egress(struct __sk_buff *skb)
{
	const __u16 mark = served_mark | SERVED_LEAVING;

	if (take_mark(skb) == mark) {
		skb->tc_index = mark;
		return TCX_NEXT;
	}
	return serve_skb(skb, skb->ifindex, false, false, mark);
}

/*
 * Serves what comes in by the port of a bridge and is addressed to the bridge itself. The bridge's netfilter
 * (bridge-nf-call-iptables) sees a packet before the bridge's own ingress program does, and must not see what we send
 * elsewhere, nor track what we translate.
 */
static __always_inline int serve_port(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	__u8 destination[6];
	int action;

	take_mark(skb);
	if (!device || bpf_skb_load_bytes(skb, 0, destination, sizeof(destination)) ||
	    __builtin_memcmp(destination, device->address, sizeof(destination)))
		return TCX_NEXT;
	/* The port took it for another's, by its own address. */
	if (bpf_skb_change_type(skb, PACKET_HOST))
		return TCX_NEXT;
	action = serve_skb(skb, device->network_ifindex, false, true, 0);
	if (action == TCX_NEXT)
		skb->tc_index = served_mark;
	return action;
}

/*
 * Serves what leaves by the port of a bridge and follows no flow at the bridge itself. The bridge's netfilter translates
 * the answers of a target to which it led on the same bridge, and sends them on from port to port.
 */
static __always_inline int serve_port_egress(struct __sk_buff *skb)
{
	return serve_egress(skb, false);
}

#endif
