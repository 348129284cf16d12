/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What routing rules ask of a packet beside its tuple. */
#ifndef XFWD_MARK_H
#define XFWD_MARK_H

#include "maps.h"
#include "parse.h"

#define BPF_FIB_LOOKUP_MARK (1U << 5) /* Linux 6.10 */
#define EINVAL 22

/* In the first four bytes of an IP header. */
#define FLOW_INFORMATION_MASK 0x0fffffff /* of IPv6: traffic class and flow label */
#define TYPE_OF_SERVICE_MASK 0x00ff0000	 /* of IPv4 */

static __always_inline struct mark *mark_find(__u32 key)
{
	return key ? bpf_map_lookup_elem(&marks, &key) : NULL;
}

/* The mark that an skb has, with its own mark and with this one as netfilter would have set it, if there is one. */
static __always_inline __u32 marked(__u32 own, const struct mark *mark)
{
	return mark ? (own & ~mark->mask) | mark->value : own;
}

/*
 * What routing rules know of the packet beside its tuple, as bpf_fib_lookup takes it: of IPv6 the traffic class and the flow
 * label, of IPv4 the type of service, which is the first byte.
 */
static __always_inline __be32 flow_information(struct __sk_buff *skb, const struct packet *p)
{
	__be32 header = 0;

	if (bpf_skb_load_bytes(skb, p->network, &header, sizeof(header)))
		return 0;
	if (p->ipv6)
		return header & bpf_htonl(FLOW_INFORMATION_MASK);
	return bpf_htonl((bpf_ntohl(header) & TYPE_OF_SERVICE_MASK) << 8);
}

/* Whether a route was found. */
static __always_inline bool leads_out(long result)
{
	return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH;
}

#endif
