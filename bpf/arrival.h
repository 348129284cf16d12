/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where packets come from. The kernel checks that of what it forwards, and of what is for this host itself. What
 * we send elsewhere it does not see, so we check it.
 */
#ifndef XFWD_ARRIVAL_H
#define XFWD_ARRIVAL_H

#include "flow.h"
#include "frontend.h"
#include "local.h"
#include "mark.h"
#include "scratch.h"

/* Options of IPv4 (RFC 791 3.1). */
#define IP_OPTION_END 0
#define IP_OPTION_NOTHING 1
#define IP_OPTION_LOOSE_ROUTE 0x83
#define IP_OPTION_STRICT_ROUTE 0x89
#define MOST_IP_OPTIONS 40 /* in a header of 15 words */

static __always_inline bool has_options(const struct packet *p)
{
	return !p->ipv6 && p->transport - p->network != sizeof(struct iphdr);
}

/* Whether one of the options of the packet in scratch gives its way. A global function, which the verifier checks once. */
__noinline int options_give_way(struct __sk_buff *skb)
{
	struct scratch *s = scratch();
	__u8 option[2];

	if (!s)
		return false;
	s->ip_option = s->packet.network + sizeof(struct iphdr);
	for (int i = 0; i < MOST_IP_OPTIONS; i++) {
		/* In a map, the offset is any number to the verifier, and not one for each way here. */
		__u32 offset = s->ip_option;

		if (offset >= s->packet.transport ||
		    bpf_skb_load_bytes(skb, offset, option, sizeof(option)))
			return false;
		if (option[0] == IP_OPTION_LOOSE_ROUTE || option[0] == IP_OPTION_STRICT_ROUTE)
			return true;
		if (option[0] == IP_OPTION_NOTHING)
			s->ip_option = offset + 1;
		else if (option[0] == IP_OPTION_END || option[1] < sizeof(option))
			return false;
		else
			s->ip_option = offset + option[1];
		barrier();
	}
	return false;
}

/* Whether the sender of the packet in scratch says by which way it goes on. Linux takes no such packet unless it is told to
 * (accept_source_route).
 */
static __always_inline bool is_source_routed(struct __sk_buff *skb, const struct scratch *s)
{
	return unlikely(has_options(&s->packet)) && options_give_way(skb);
}

/* Whether packets from an address may be forwarded. It must belong to one other machine (RFC 1812 5.3.7), and be valid beyond
 * the link.
 */
static __always_inline bool address_may_send(const struct address *a)
{
	return !address_is_loopback(a) && !address_is_this_network(a) && !address_is_multicast(a) &&
	       !address_is_link_local(a) &&
	       !(address_flags(a) & (ADDRESS_LOCAL | ADDRESS_BROADCAST));
}

enum way_back {
	WAY_BACK_NONE,
	WAY_BACK_ELSEWHERE, /* by another device */
	WAY_BACK_THERE,	    /* by the device that is asked about */
};

/* A route may have several next hops, of which the kernel chooses one by the addresses and ports that it is asked with. So it is
 * asked this often, each time with others.
 */
#define WAYS_TRIED 8

/*
 * Whether a route for packets with the tuple scratch->back leads by the device `ifindex`. They would come by the
 * device `from`; if that is zero or does not forward, by `ifindex` itself. Returns an enum way_back. A global
 * function, which the verifier checks once.
 */
__noinline int find_way_back(struct __sk_buff *skb, __u32 ifindex, __u32 from)
{
	struct scratch *s = scratch();
	int found = WAY_BACK_NONE;

	if (!s)
		return found;
	if (!from)
		from = ifindex;
	for (__u32 i = 0; i < WAYS_TRIED; i++) {
		struct bpf_fib_lookup fib = {};
		long result;

		fib_ask(&fib, &s->back, from);
		fib.sport ^= bpf_htons(i);
		if (fib.family == AF_INET)
			fib.ipv4_src ^= bpf_htonl(i);
		else
			fib.ipv6_src[3] ^= bpf_htonl(i);
		fib.tot_len = sizeof(struct iphdr); /* fits any MTU */
		result = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
		if (result < 0 || result == BPF_FIB_LKUP_RET_FWD_DISABLED)
			from = ifindex;
		if (!leads_out(result))
			continue;
		if (fib.ifindex == ifindex)
			return WAY_BACK_THERE;
		found = WAY_BACK_ELSEWHERE;
	}
	return found;
}

/*
 * Whether the kernel would take the packet in scratch, which arrives by a device and leaves by another, for one
 * that comes from where its source is (rp_filter, RFC 3704). It asks for the way back as if the packet's answer
 * came by the device that the packet leaves by. A global function, which the verifier checks once.
 */
__noinline int comes_from_its_source(struct __sk_buff *skb, __u32 ifindex, __u32 leaving)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	struct scratch *s = scratch();

	if (!s || !device || s->packet.ipv6 ||
	    !(device->flags & (DEVICE_SOURCE_THERE4 | DEVICE_SOURCE_ROUTED4)))
		return true;
	s->back = tuple_reversed(&s->packet.tuple);
	switch (find_way_back(skb, ifindex, leaving)) {
	case WAY_BACK_THERE:
		return true;
	case WAY_BACK_ELSEWHERE:
		return !(device->flags & DEVICE_SOURCE_THERE4);
	default:
		return false;
	}
}

/*
 * Whether a client's packets of a flow with a key, which is scratch->asked, may come by a device: the forward's
 * devices are looked at again, if it is there still.
 */
static __always_inline bool forward_takes_from(const struct tuple *key, const struct flow *flow,
					       __u32 ifindex)
{
	__u8 flags = port_flags(key->protocol, key->destination_port);
	struct forward *f;

	if (!(flags & PORT_FRONTEND_DEVICE) ||
	    (__u32)frontend_of_asked(ifindex, flags) >> FRONTEND_ID_SHIFT == flow->forward)
		return true;
	f = bpf_map_lookup_elem(&forwards, &flow->forward);
	return !f || !forward_is_alive(f, current_epoch());
}

/*
 * Whether a target's packets of a flow, which bear its key, come by a device where the target is: the client's
 * packets leave by it, or might.
 */
static __always_inline bool target_is_there(struct __sk_buff *skb, struct scratch *s,
					    const struct tuple *key, const struct flow_entry *entry,
					    __u32 ifindex)
{
	struct flow *partner = flow_find_partner(key, entry->flow, entry->established).flow;

	if (partner && partner->hop.ifindex == ifindex)
		return true;
	/* As set_route asks for the client's packets. */
	s->back = tuple_reversed(key);
	s->back.source = entry->flow->to.destination;
	s->back.source_port = entry->flow->to.destination_port;
	return find_way_back(skb, ifindex, partner ? partner->arrives_by : 0) == WAY_BACK_THERE;
}

/*
 * Whether packets of the flow with the key scratch->asked may come by another device than before, which it then
 * notes. A flow of others may come by any. A global function, which the verifier checks once: most packets of a
 * flow come by one device.
 */
__noinline int flow_moves(struct __sk_buff *skb, __u32 ifindex)
{
	struct scratch *s = scratch();
	struct flow_entry entry;
	struct flow *flow;

	if (!s)
		return false;
	entry = flow_find(&s->asked);
	flow = entry.flow;
	/* It has just gone. */
	if (!flow)
		return true;
	if (!flow->forward) {
		flow->arrives_by = ifindex;
		return true;
	}
	if (flow->flags & FLOW_REVERSE) {
		if (!target_is_there(skb, s, &s->asked, &entry, ifindex))
			return false;
	} else if (!forward_takes_from(&s->asked, flow, ifindex) ||
		   ((flow->flags & FLOW_ELSEWHERE) &&
		    !comes_from_its_source(skb, ifindex, flow->hop.ifindex))) {
		return false;
	}
	flow->arrives_by = ifindex;
	return true;
}

/*
 * Whether a packet of the flow with a key, which arrives by a device, comes from where the flow's packets do.
 * Otherwise somebody else has made it.
 */
static __always_inline bool flow_comes_by(struct __sk_buff *skb, struct scratch *s,
					  const struct tuple *key, const struct flow *flow,
					  __u32 ifindex)
{
	if (likely(flow->arrives_by == ifindex))
		return true;
	s->asked = *key;
	return flow_moves(skb, ifindex);
}

/* Whether XDP may take the same for granted, for a packet that the driver of a device has received. */
static __always_inline bool flow_comes_by_driver(const struct flow *flow, __u32 ifindex)
{
	struct device *device;

	if (likely(flow->arrives_by == ifindex))
		return true;
	device = bpf_map_lookup_elem(&devices, &ifindex);
	return device && device->network_ifindex == flow->arrives_by;
}

#endif
