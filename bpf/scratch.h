/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Room for one packet's way through us, one per CPU: the tc programs run with bottom halves off and do not
 * nest; commands refuse kernels where that keeps no packets apart (CheckKernel). It is not on the stack because
 * the verifier follows every value that a stack slot may have, and forgets what is in a map: without this each branch
 * of the parser would double all that comes behind.
 */
#ifndef XFWD_SCRATCH_H
#define XFWD_SCRATCH_H

#include "parse.h"

#define LONGEST_TCP_OPTIONS \
	40 /* the header has at most 15 words, 5 without options (RFC 9293 3.1) */
#define TCP_OPTIONS_MASK 0x3f /* for the verifier: LONGEST_TCP_OPTIONS is less */

/* What is decided about a packet, beside what its tuple becomes. */
struct verdict {
	enum reason reason; /* if it becomes nothing else */
	__u32 forward;	    /* whose traffic the packet is; 0: nobody's */
	__u32 backend;	    /* likewise, if it is a forward's */
	__u32 mtu;	    /* what the packet is too big for, if that is the reason */
	bool reverse;	    /* towards the client */
	bool renewed;	    /* the next hop was looked up for this packet */
	bool own_source;    /* it leaves from an address of this host */
	bool wrong_device;  /* it is of a flow whose packets come by another one */
	bool followed;	    /* its client's flow was made by another CPU meanwhile */
	__be16 reopened_port; /* the source port that the flow had which this packet opens again; or 0 */
};

struct scratch {
	struct packet packet;
	struct verdict verdict;
	struct flow flow;    /* to be made */
	struct flow partner; /* its entry for the other direction, or that of another flow */
	struct said own;     /* of the packet's direction of its flow, while that is followed */
	struct said other;   /* of the other direction; zero where nothing is known */
	struct tuple route;  /* of what a route is asked for */
	struct tuple back;   /* of what the way back to a sender is asked for */
	struct tuple asked;  /* whose flow or frontend is asked for */
	__u32 route_mark;    /* that it has for rules: its key in marks; 0: none */
	struct next_hop hop; /* the answer */
	struct bpf_redir_neigh neighbour; /* whom the kernel is to hand the packet to */
	__u32 ip_option;		  /* offset in the packet */
	__u32 tcp_option;		  /* offset in tcp_options */
	__u8 tcp_options[TCP_OPTIONS_MASK + 1 + sizeof(__u32)];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Never NULL, but the verifier does not know that. */
static __always_inline struct scratch *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

#endif
