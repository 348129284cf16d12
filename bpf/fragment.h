/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Later fragments have no ports; they are known by the datagram that they are of. */
#ifndef XFWD_FRAGMENT_H
#define XFWD_FRAGMENT_H

#include "config.h"
#include "flow.h"

/* IPv6 identifies a datagram without its protocol (RFC 8200 4.5), IPv4 with it (RFC 791). */
static __always_inline struct fragment_key fragment_key_of(const struct packet *p)
{
	return (struct fragment_key){
		.source = p->tuple.source,
		.destination = p->tuple.destination,
		.id = p->fragment_id,
		.protocol = p->ipv6 ? 0 : p->tuple.protocol,
	};
}

static __always_inline struct fragment *fragment_find(const struct packet *p)
{
	struct fragment_key key = fragment_key_of(p);
	struct fragment *f = bpf_map_lookup_elem(&fragments, &key);

	if (f && elapsed(now(), f->seen) > fragment_timeout)
		return NULL;
	return f;
}

/* Remembers which flow the first fragment of a datagram is of. An ICMP error in fragments is nobody's. */
static __always_inline void fragment_remember(const struct packet *p)
{
	struct fragment_key key = fragment_key_of(p);
	struct fragment f = { .key = p->tuple, .seen = now() };

	if (p->kind == PACKET_TRANSPORT)
		bpf_map_update_elem(&fragments, &key, &f, BPF_ANY);
}

#endif
