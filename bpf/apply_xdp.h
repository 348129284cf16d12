/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * XDP serves packets of known flows that leave this host again, by the next hop that tc has found for them. All
 * others go up to tc as they came: SYNs, new flows, fragments, ICMP errors, tagged frames, and now and then a packet
 * that renews the next hop.
 */
#ifndef XFWD_APPLY_XDP_H
#define XFWD_APPLY_XDP_H

#include "decide.h"
#include "rewrite.h"

/* Whether the frame is addressed to us; in promiscuous mode others come, too. */
static __always_inline bool frame_is_to_us(const struct xdp_md *ctx, const struct next_hop *hop)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return false;
	return !__builtin_memcmp(ethernet->h_dest, hop->received_at, sizeof(hop->received_at));
}

/* The flow that XDP may serve the packet in scratch by, or NULL; so, too, if the packet has just moved it. */
static __always_inline struct flow *xdp_flow(const struct xdp_md *ctx, const struct scratch *s)
{
	const struct packet *p = &s->packet;
	__u64 time = now();
	struct flow_entry entry;

	if (!((port_flags(p->tuple.protocol, p->tuple.source_port) & PORT_ELSEWHERE) |
	      (port_flags(p->tuple.protocol, p->tuple.destination_port) &
	       (PORT_ANY_FRONTEND | PORT_LINGERING))))
		return NULL;
	entry = flow_find(&p->tuple);
	if (!entry.flow || !(entry.flow->flags & FLOW_ELSEWHERE) ||
	    (entry.flow->flags & FLOW_SHADOW) || !flow_is_current(&entry, time) ||
	    !hop_is_fresh(&entry.flow->hop, time) || !entry.flow->hop.xdp ||
	    entry.flow->hop.way != WAY_ETHERNET || !frame_is_to_us(ctx, &entry.flow->hop) ||
	    p->size > entry.flow->hop.mtu || p->ttl <= 1 ||
	    !flow_comes_by_driver(entry.flow, ctx->ingress_ifindex))
		return NULL;
	return unlikely(flow_track(&entry, p, time)) ? NULL : entry.flow;
}

/* Changes the checksum of TCP or UDP for another tuple. False: the header is cut off. */
static __always_inline bool xdp_update_transport(void *header, void *data_end,
						 const struct packet *p, const struct tuple *to,
						 __u32 addresses)
{
	__u64 diff = checksum_diff(addresses, ports_of(&p->tuple), ports_of(to));
	struct tcphdr *tcp = header;
	struct udphdr *udp = header;

	if (p->tuple.protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > data_end)
			return false;
		tcp->check = checksum_change(tcp->check, diff);
		return true;
	}
	if ((void *)(udp + 1) > data_end)
		return false;
	/* Zero says "no checksum", and all ones zero (RFC 768). */
	if (udp->check) {
		udp->check = checksum_change(udp->check, diff);
		if (!udp->check)
			udp->check = 0xffff;
	}
	return true;
}

/* Gives the frame the tuple and the link-layer addresses of its flow. */
static __always_inline bool rewrite_frame(struct xdp_md *ctx, const struct packet *p,
					  const struct flow *flow)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	void *transport = data + (p->transport & TRANSPORT_OFFSET_MASK);
	__u32 addresses = checksum_fold32(
		address_diff(p->ipv6, &p->tuple.source, &p->tuple.destination, &flow->to));

	return write_network(data, data_end, p, &flow->to, addresses, true) &&
	       write_ports(data, data_end, p, &flow->to) &&
	       xdp_update_transport(transport, data_end, p, &flow->to, addresses) &&
	       write_link_layer(data, data_end, &flow->hop);
}

/* Parses the frame of `length` bytes into scratch. A global function for the same reason as parse_linear. */
__noinline int parse_frame(struct xdp_md *ctx, __u32 length)
{
	struct scratch *s = scratch();

	if (!s)
		return REASON_MALFORMED;
	return parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, length, false, false,
		     &s->packet);
}

static __always_inline int leave_to_tc(void)
{
	count_reason(REASON_LEFT_TO_TC);
	return XDP_PASS;
}

/* Serves one frame of `length` bytes, of which perhaps only the first part can be read. */
static __always_inline int serve_xdp(struct xdp_md *ctx, __u32 length)
{
	struct scratch *s = scratch();
	__u32 ifindex = ctx->ingress_ifindex;
	const struct packet *p;
	struct flow *flow;
	int action;

	if (!s || parse_frame(ctx, length) != REASON_NONE)
		return leave_to_tc();
	p = &s->packet;
	if (p->kind != PACKET_TRANSPORT || p->first_fragment ||
	    p->network != sizeof(struct ethhdr) || has_options(p) || (p->tcp_flags & TCP_FLAG_SYN))
		return leave_to_tc();
	flow = xdp_flow(ctx, s);
	if (!flow || !rewrite_frame(ctx, p, flow))
		return leave_to_tc();
	count_traffic(flow->forward, flow->backend, flow->flags & FLOW_REVERSE, 1, length);
	if (flow->hop.ifindex == ifindex)
		return XDP_TX;
	action = bpf_redirect_map(&xdp_devices, flow->hop.ifindex, XDP_DROP);
	/* The device has lost its program within the last two seconds. */
	if (unlikely(action == XDP_DROP))
		count_drop(flow->forward, REASON_NO_ROUTE);
	return action;
}

#endif
