/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which address of this host a packet goes to, where the target is this host and names none. */
#ifndef XFWD_HERE_H
#define XFWD_HERE_H

#include "flow.h"
#include "local.h"
#include "others.h"
#include "socket.h"

#define BPF_FIB_LOOKUP_SKIP_NEIGH 4
#define BPF_FIB_LOOKUP_SRC 16

/* Who takes the packets of a tuple. */
enum taker {
	TAKER_NONE,	/* no socket; a translator such as a NodePort may */
	TAKER_WILDCARD, /* a socket that is bound to no address */
	TAKER_ADDRESS,	/* a socket that is bound to the destination */
};

static __always_inline enum taker find_taker(struct __sk_buff *skb, const struct tuple *t)
{
	struct bpf_sock_tuple lookup = {};
	enum taker taker = TAKER_WILDCARD;
	struct bpf_sock *sock;
	__u32 size;

	size = socket_tuple(&lookup, t);
	if (t->protocol == IPPROTO_TCP) {
		/* What it answers is from the address that the client asked, however it is bound. */
		sock = bpf_skc_lookup_tcp(skb, &lookup, size, BPF_F_CURRENT_NETNS, 0);
		if (!sock)
			return TAKER_NONE;
		bpf_sk_release(sock);
		return TAKER_ADDRESS;
	}
	sock = bpf_sk_lookup_udp(skb, &lookup, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return TAKER_NONE;
	if (socket_is_bound(sock, &t->destination))
		taker = TAKER_ADDRESS;
	bpf_sk_release(sock);
	return taker;
}

/*
 * Finds the address from which a UDP socket that is bound to none answers the client of `t`: the kernel chooses it for the
 * way to the client, and tells (Linux 6.7) where the packet came by a device that forwards. Otherwise it is the first
 * one that is in the destination's network, if the client is in that, or else the device's, which `answering` is at first.
 */
static __always_inline void find_answering(struct __sk_buff *skb, const struct tuple *t,
					   __u32 ifindex, struct address *answering)
{
	const struct known_address *known;
	struct tuple back = tuple_reversed(t);
	struct bpf_fib_lookup fib = {};
	struct address told;
	long result;

	back.source = (struct address){};
	fib_ask(&fib, &back, ifindex);
	fib.tot_len = sizeof(struct iphdr); /* fits any MTU, as the answer may */
	/* Older kernels refuse the flags. */
	result = bpf_fib_lookup(skb, &fib, sizeof(fib),
				BPF_FIB_LOOKUP_SRC | BPF_FIB_LOOKUP_SKIP_NEIGH);
	if (result == BPF_FIB_LKUP_RET_SUCCESS) {
		told = address_is_ipv4(&t->source) ? address_from_ipv4(fib.ipv4_src) :
						     address_from_ipv6(fib.ipv6_src);
		/* A link-local one is chosen for a client that no answer reaches. */
		if (!address_is_unspecified(&told) && !address_is_link_local(&told)) {
			*answering = told;
			return;
		}
	}
	known = address_known(&t->destination);
	if (known && address_shares_prefix(&t->source, &t->destination, known->network_bits) &&
	    !address_is_zero(&known->answers))
		*answering = known->answers;
}

/*
 * Chooses the destination of scratch->flow, which is the address that the client asked for, as `here` says an address of this
 * host. The device's primary address takes its place where nobody could answer from it: what REDIRECT of netfilter
 * does, so that whatever serves behind REDIRECT serves here. A global function, which the verifier checks once.
 */
__noinline int plan_here(struct __sk_buff *skb, __u32 ifindex, __u32 here)
{
	struct scratch *s = scratch();
	struct settings *set = current_settings();
	struct address primary;
	struct tuple *to;

	if (!s || !set)
		return REASON_NO_LOCAL_ADDRESS;
	to = &s->flow.to;
	primary = primary_address(ifindex, &to->destination);
	if (!here) {
		to->destination = primary;
		return address_is_zero(&primary) ? REASON_NO_LOCAL_ADDRESS : REASON_NONE;
	}
	if (address_is_zero(&primary) || address_equal(&primary, &to->destination) ||
	    address_is_link_local(&to->destination))
		return REASON_NONE;
	switch (find_taker(skb, to)) {
	case TAKER_ADDRESS:
		return REASON_NONE;
	case TAKER_WILDCARD:
		find_answering(skb, to, ifindex, &primary);
		break;
	case TAKER_NONE:
		/* A translator that serves this host's primary address may serve no other. */
		if (address_equal(&to->destination, address_is_ipv4(&to->destination) ?
							    &set->primary4 :
							    &set->primary6))
			return REASON_NONE;
		break;
	}
	to->destination = primary;
	return REASON_NONE;
}

#endif
