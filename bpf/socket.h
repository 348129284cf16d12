/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How this host's sockets are looked up. */
#ifndef XFWD_SOCKET_H
#define XFWD_SOCKET_H

#include "address.h"

/* The tuple as look-ups want it, by its destination IPv4 or IPv6. Returns its size. */
static __always_inline __u32 socket_tuple(struct bpf_sock_tuple *lookup, const struct tuple *t)
{
	if (address_is_ipv4(&t->destination)) {
		lookup->ipv4.saddr = t->source.word[3];
		lookup->ipv4.daddr = t->destination.word[3];
		lookup->ipv4.sport = t->source_port;
		lookup->ipv4.dport = t->destination_port;
		return sizeof(lookup->ipv4);
	}
	for (int i = 0; i < 4; i++) {
		lookup->ipv6.saddr[i] = t->source.word[i];
		lookup->ipv6.daddr[i] = t->destination.word[i];
	}
	lookup->ipv6.sport = t->source_port;
	lookup->ipv6.dport = t->destination_port;
	return sizeof(lookup->ipv6);
}

/* Whether a socket that was found for a destination is bound to it, and not to all addresses. */
static __always_inline bool socket_is_bound(const struct bpf_sock *sock,
					    const struct address *destination)
{
	if (address_is_ipv4(destination))
		return sock->src_ip4;
	return sock->src_ip6[0] | sock->src_ip6[1] | sock->src_ip6[2] | sock->src_ip6[3];
}

#endif
