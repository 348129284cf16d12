/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The way out of this host, for packets of flows whose other end is elsewhere. */
#ifndef XFWD_ROUTE_H
#define XFWD_ROUTE_H

#include "flow.h"
#include "fragment.h"
#include "local.h"
#include "mark.h"

/* A packet that any route takes, for the length of the real one is compared with the MTU that comes back. */
#define SHORTEST_PACKET 64
/* And one that hardly any route takes, so that the kernel says what MTU the route has. No packet is longer. */
#define LONGEST_PACKET 0xffff

static __always_inline bool hop_is_fresh(const struct next_hop *hop, __u64 time)
{
	struct settings *s = current_settings();

	return hop->ifindex && hop->way != WAY_NEIGHBOUR && s &&
	       hop->generation == s->route_generation &&
	       elapsed(time, hop->resolved) <= next_hop_timeout;
}

/* The MTU of the device `ifindex`, or `otherwise` where it is not known. */
static __always_inline __u32 device_mtu(struct __sk_buff *skb, __u32 ifindex, __u32 otherwise)
{
	struct device *device;
	__u32 mtu = 0;

	if (device_mtu_helper && bpf_check_mtu(skb, ifindex, &mtu, 0, 0) >= 0 && mtu)
		return mtu < LONGEST_PACKET ? mtu : LONGEST_PACKET;
	device = bpf_map_lookup_elem(&devices, &ifindex);
	return device ? device->mtu : otherwise;
}

/*
 * The MTU of packets that leave by the device `ifindex`. `told` is what bpf_fib_lookup says, or SHORTEST_PACKET: Linux
 * before 5.12 does not tell, nor does any without a neighbour. It heeds exceptions of routes, which one forged ICMP error
 * makes for ten minutes. The kernel does not when it forwards, by default: it takes the MTU of the device, or that of a
 * route that locks it.
 */
static __always_inline __u32 forwarding_mtu(struct __sk_buff *skb, __u32 ifindex, __u32 told,
					    bool ipv4)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

	if (told == SHORTEST_PACKET)
		told = LONGEST_PACKET;
	else if (!device || (device->flags & (ipv4 ? DEVICE_ROUTE_MTU4 : DEVICE_ROUTE_MTU6)))
		return told;
	return device_mtu(skb, ifindex, told);
}

/* What the device that a packet leaves by needs to know. */
static __always_inline void hop_set_way(struct next_hop *hop, const struct bpf_fib_lookup *fib,
					bool neighbour_known)
{
	struct device *device = bpf_map_lookup_elem(&devices, &hop->ifindex);

	hop->way = WAY_NEIGHBOUR;
	hop->xdp = 0;
	if (device && !(device->flags & DEVICE_ETHERNET)) {
		hop->way = WAY_DEVICE;
	} else if (device && neighbour_known) {
		__builtin_memcpy(hop->destination_address, fib->dmac,
				 sizeof(hop->destination_address));
		__builtin_memcpy(hop->source_address, fib->smac, sizeof(hop->source_address));
		hop->way = device->flags & DEVICE_PEER ? WAY_PEER : WAY_ETHERNET;
		hop->xdp = !!(device->flags & DEVICE_XDP);
	}
}

/*
 * The neighbour that the routing table names, a gateway or the destination itself. The kernel, asked to find it,
 * would ask for a route without knowing where the packet came from.
 */
static __always_inline void set_neighbour(struct bpf_redir_neigh *neighbour,
					  const struct bpf_fib_lookup *fib)
{
	/* A gateway may be of IPv6 for a packet of IPv4 (RFC 5549). */
	neighbour->nh_family = fib->family;
	if (fib->family == AF_INET) {
		neighbour->ipv4_nh = fib->ipv4_dst;
		return;
	}
	for (int i = 0; i < 4; i++)
		neighbour->ipv6_nh[i] = fib->ipv6_dst[i];
}

/*
 * Before Linux 6.10 bpf_fib_lookup knows no marks. There the device that the mark leads to becomes scratch->hop, and
 * the kernel looks the route up when the packet is sent.
 */
static __always_inline bool leave_by_mark(struct scratch *s, const struct mark *mark)
{
	__u32 ifindex = mark->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

	if (!device)
		return false;
	s->hop.ifindex = ifindex;
	s->hop.mtu = device->mtu;
	s->hop.resolved = now();
	s->hop.way = device->flags & DEVICE_ETHERNET ? WAY_MARK : WAY_DEVICE;
	s->hop.xdp = 0;
	return true;
}

/*
 * Looks up where a packet with the tuple scratch->route leaves, that came by the device `ifindex`, for scratch->hop.
 * It has the mark scratch->route_mark. Returns REASON_NONE, or why it cannot leave. A route by a lightweight tunnel is none
 * that we can take. A global function, which the verifier checks once.
 */
__noinline int route_find(struct __sk_buff *skb, __u32 ifindex)
{
	struct scratch *s = scratch();
	struct bpf_fib_lookup fib = {};
	struct settings *set = current_settings();
	bool neighbour_known;
	struct mark *mark;
	__u32 marks_as;
	long result;

	if (!s || !set)
		return REASON_NO_ROUTE;
	mark = mark_find(s->route_mark);
	marks_as = marked(skb->mark, mark);
	/* First, so that a change which comes now ends this next hop. */
	s->hop.generation = set->route_generation;
	fib_ask(&fib, &s->route, ifindex);
	fib.flowinfo = flow_information(skb, &s->packet);
	fib.tot_len = SHORTEST_PACKET;
	fib.mark = marks_as;
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), marks_as ? BPF_FIB_LOOKUP_MARK : 0);
	if (result == -EINVAL) {
		result = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
		if (mark && result != BPF_FIB_LKUP_RET_FWD_DISABLED &&
		    !(leads_out(result) && fib.ifindex == mark->ifindex) && leave_by_mark(s, mark))
			return REASON_NONE;
	}
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return REASON_FORWARDING_OFF;
	if (!leads_out(result))
		return REASON_NO_ROUTE;
	/* Old kernels know neighbours whose address they still have to learn. */
	neighbour_known =
		result == BPF_FIB_LKUP_RET_SUCCESS &&
		(fib.dmac[0] | fib.dmac[1] | fib.dmac[2] | fib.dmac[3] | fib.dmac[4] | fib.dmac[5]);
	s->hop.ifindex = fib.ifindex;
	s->hop.mtu = forwarding_mtu(skb, fib.ifindex, fib.mtu_result,
				    address_is_ipv4(&s->route.destination));
	s->hop.resolved = now();
	hop_set_way(&s->hop, &fib, neighbour_known);
	set_neighbour(&s->neighbour, &fib);
	return REASON_NONE;
}

/*
 * The next hop of a flow becomes that of scratch. False: its neighbour has not answered for so long that the client must
 * be told; the packets that follow ask again.
 */
static __always_inline bool renew_hop(struct scratch *s, struct next_hop *hop, __u64 time)
{
	bool waiting = hop->ifindex == s->hop.ifindex && hop->way == WAY_NEIGHBOUR &&
		       s->hop.way == WAY_NEIGHBOUR;
	__u64 since = hop->resolved;

	*hop = s->hop;
	if (!waiting || elapsed(time, since) > neighbour_patience)
		return !waiting;
	hop->resolved = since;
	return true;
}

/*
 * Of what a route is asked for the packet in scratch. Requests are routed with their client's address and port as source, like those
 * that netfilter masquerades. Answers are routed as they leave, with the mark of the device that the client's first
 * packet came by.
 */
static __always_inline void set_route(struct scratch *s, struct flow *flow, __u32 ifindex)
{
	const struct packet *p = &s->packet;
	struct device *device;

	s->route = flow->to;
	s->route_mark = flow->mark;
	if (flow->flags & FLOW_REVERSE)
		return;
	s->route_mark = 0;
	s->route.source = p->tuple.source;
	/* A later fragment has none. */
	if (p->kind != PACKET_FRAGMENT)
		s->route.source_port = p->tuple.source_port;
	/* Not known: the packet makes the flow. */
	if (flow->hop.ifindex)
		return;
	device = bpf_map_lookup_elem(&devices, &ifindex);
	flow->mark = device ? device->mark : 0;
}

/*
 * Whether the packet in scratch can leave as the flow's packets do: REASON_NONE, or why not. Looks the next hop up
 * again when that is due, and always where it takes the kernel's neighbour table to get there.
 */
static __always_inline int prepare_to_leave(struct __sk_buff *skb, struct scratch *s,
					    struct flow *flow, __u32 ifindex, __u64 time)
{
	const struct packet *p = &s->packet;
	bool needs_link_layer = !p->network && flow->hop.way != WAY_DEVICE;

	/* A tag behind another one, which neither we nor the kernel take off. */
	if (unlikely(p->network > sizeof(struct ethhdr)))
		return REASON_VLAN;
	if (unlikely(needs_link_layer || !hop_is_fresh(&flow->hop, time))) {
		int reason;

		set_route(s, flow, ifindex);
		reason = route_find(skb, ifindex);
		if (reason != REASON_NONE)
			return reason;
		if (!renew_hop(s, &flow->hop, time))
			return REASON_NO_NEIGHBOUR;
		s->verdict.renewed = true;
	}
	if (p->ttl <= 1)
		return REASON_TIME_EXCEEDED;
	s->verdict.mtu = flow->hop.mtu;
	if (unlikely(p->size > flow->hop.mtu) && !may_fragment(skb, flow->hop.mtu))
		return REASON_TOO_BIG;
	return REASON_NONE;
}

#endif
