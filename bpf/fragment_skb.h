/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * IPv4 packets that may be fragmented (RFC 791 3.2) and are too big for the device that they would leave by. The kernel
 * fragments what it forwards itself, but no helper does. So the packet becomes its fragments, and the device that it came
 * by receives these in its place. Each then goes its way as any fragment does: to a neighbour that has to be found first,
 * by a mark, or into a tunnel.
 */
#ifndef XFWD_FRAGMENT_SKB_H
#define XFWD_FRAGMENT_SKB_H

#include "fragment.h"
#include "rewrite_skb.h"
#include "stats.h"

/* Room for a packet that is being fragmented. */
struct fragment_buffer {
	struct iphdr ip;
	__be16 fragment; /* flags and offset of the packet itself */
	__u32 position;	 /* in data, of the fragment that comes next */
	__u8 data[MOST_DATA + 1 + MOST_FRAGMENT_DATA];
};

/* Without the type of the value, for Go has no use for it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct fragment_buffer));
} fragment_buffers SEC(".maps");

/*
 * Finishes a checksum that is left to the device (CHECKSUM_PARTIAL), for it covers what becomes several packets: that of
 * the packet in scratch, of whose data there are `length` bytes. Its field has the sum of the pseudo header then. If one
 * that is finished has the same value by chance, it gets that value again. A global function, which the verifier checks once.
 */
__noinline int finish_checksum(__u32 length)
{
	__u32 zero = 0;
	struct fragment_buffer *f = bpf_map_lookup_elem(&fragment_buffers, &zero);
	struct scratch *s = scratch();
	const struct packet *p;
	__sum16 *checksum, pseudo;
	bool tcp;

	if (!f || !s)
		return 0;
	p = &s->packet;
	tcp = p->tuple.protocol == IPPROTO_TCP;
	checksum = (void *)&f->data[tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET];
	pseudo = ~checksum_change(NO_CHECKSUM, sum_pseudo_header(p, p->tuple.protocol, length));
	if (p->kind != PACKET_TRANSPORT || p->first_fragment || p->unchecked || *checksum != pseudo)
		return 0;
	/* Whole words are summed up; these are the last. */
	__builtin_memset(&f->data[length & MOST_DATA], 0, sizeof(__u32));
	*checksum = checksum_change(NO_CHECKSUM, sum_words(f->data, length, MOST_DATA, 0));
	if (!tcp && !*checksum)
		*checksum = NO_CHECKSUM;
	return 0;
}

/* Makes the skb, which has the right length, the fragment at f->position. */
static __always_inline long write_fragment(struct __sk_buff *skb, struct fragment_buffer *f,
					   __u32 network, __u64 length, bool more)
{
	__u32 offset = bpf_ntohs(f->fragment) + f->position / FRAGMENT_UNIT;
	struct iphdr *ip = &f->ip;
	__u64 least = 1;

	/* For verifiers before Linux 6.12 the compiler must not know the bounds already, nor make one comparison of two, nor one with zero,
	 * which tells these no least value.
	 */
	asm volatile("" : "+r"(length), "+r"(least));
	if (length > MOST_FRAGMENT_DATA || (offset & ~IP_MF) > IP_OFFSET)
		return -1;
	asm volatile("" : "+r"(length));
	if (length < least)
		return -1;
	ip->tot_len = bpf_htons(sizeof(*ip) + length);
	ip->frag_off = bpf_htons(more ? offset | IP_MF : offset);
	ip->check = 0;
	ip->check =
		checksum_change(NO_CHECKSUM, bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
	return bpf_skb_store_bytes(skb, network, ip, sizeof(*ip), 0) ||
	       bpf_skb_store_bytes(skb, network + sizeof(*ip), &f->data[f->position & MOST_DATA],
				   length, 0);
}

/* Loads the packet in scratch, which has `length` bytes of data, from the skb. */
static __always_inline long load_packet(const struct __sk_buff *skb, struct fragment_buffer *f,
					const struct packet *p, __u64 length)
{
	/* As above. */
	asm volatile("" : "+r"(length));
	if (length > MOST_DATA)
		return -1;
	asm volatile("" : "+r"(length));
	if (length < FRAGMENT_UNIT || bpf_skb_load_bytes(skb, p->network, &f->ip, sizeof(f->ip)) ||
	    bpf_skb_load_bytes(skb, p->network + sizeof(f->ip), f->data, length))
		return -1;
	f->fragment = f->ip.frag_off;
	f->position = 0;
	finish_checksum(length);
	return 0;
}

/*
 * Makes fragments for an MTU of the packet in scratch, which the skb still has as it came, at ingress. The skb becomes the
 * last one. Returns what the program is to return. A global function, which the verifier checks once.
 */
__noinline int fragment_skb(struct __sk_buff *skb, __u32 mtu)
{
	__u32 zero = 0;
	struct fragment_buffer *f = bpf_map_lookup_elem(&fragment_buffers, &zero);
	struct scratch *s = scratch();
	__u32 network, left, each = fragment_data(mtu);

	if (!f || !s)
		return TCX_DROP;
	network = s->packet.network;
	left = s->packet.size - sizeof(f->ip);
	if (left <= each || load_packet(skb, f, &s->packet, left) ||
	    clear_packet(skb, network + sizeof(f->ip), each))
		return drop(s->verdict.forward, REASON_REWRITE);
	for (int i = 0; i < MOST_FRAGMENTS && left > each; i++) {
		if (write_fragment(skb, f, network, each, true) ||
		    bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
			return drop(s->verdict.forward, REASON_REWRITE);
		f->position += each;
		left -= each;
	}
	if ((left != each && bpf_skb_adjust_room(skb, (__s32)(left - each), BPF_ADJ_ROOM_MAC, 0)) ||
	    write_fragment(skb, f, network, left, false))
		return drop(s->verdict.forward, REASON_REWRITE);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

#endif
