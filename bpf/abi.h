/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs and the control plane share: the keys and values of the maps. bpf2go makes the Go
 * types from here; only internal/maps knows them. Padding is explicit and zero. Every change of a
 * layout raises LAYOUT_VERSION, which keeps a newer command from misreading older pins.
 */
#ifndef XFWD_ABI_H
#define XFWD_ABI_H

#include "bpf.h"

#define LAYOUT_VERSION 1

#define MAX_FORWARDS 16384
#define MAX_BACKENDS 65536
#define NAME_SIZE 64
#define COMMENT_SIZE 256
#define MAX_DEVICES 8
#define DEVICE_NAME_SIZE 16 /* IFNAMSIZ */

/* An IPv6 address, or an IPv4 address mapped into IPv6 (::ffff:a.b.c.d, RFC 4291 2.5.5.2), in
 * network order. All zero where "none" or "any" is meant.
 */
struct address {
	__be32 word[4];
};

/* A packet's transport addresses as they are on the wire. The key of a flow entry. Aligned, so that it is
 * compared eight bytes at a time.
 */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 pad[3];
} __attribute__((aligned(8)));

/* What a flow entry knows beside its key, which direction it is included. Lives in flows_established or
 * in flows_transitory; see flow.h.
 */
struct flow {
	struct tuple to;     /* the tuple after translation */
	__u64 last_seen;     /* now() of a recent packet, to about a second */
	__u32 forward;	     /* id of the forward; 0 where a client talks to a target directly */
	__u32 backend;	     /* id of the backend; 0 likewise */
	__u32 generation;    /* of the backend when the flow was made */
	__u32 next_sequence; /* TCP, forward entry: what the server sends next; host order */
	__u8 flags;	     /* FLOW_* */
	__u8 pad[7];
};

enum flow_flag {
	FLOW_REVERSE = 1,     /* this entry is the direction towards the client */
	FLOW_ANSWERED = 2,    /* the target has sent something */
	FLOW_FIN_FORWARD = 4, /* TCP: the client has sent FIN */
	FLOW_FIN_REVERSE = 8, /* TCP: the target has sent FIN */
	FLOW_RESET = 16,      /* TCP: either has sent RST */
	FLOW_SHADOW = 32,     /* in flows_transitory: what is true is in flows_established */
};

/* A frontend with a single port. */
struct frontend_key {
	struct address address; /* zero: every address of this host */
	__u32 ifindex;		/* zero: whatever the device */
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

/* A part of a frontend's port range: the ports whose first (prefix_length - RANGE_FIXED_BITS) bits are
 * those of `port`. An LPM trie compares bytes in order, so the port comes last.
 */
struct frontend_range_key {
	__u32 prefix_length; /* bits */
	struct address address;
	__u32 ifindex;
	__u8 pad;
	__u8 protocol;
	__be16 port;
};

#define RANGE_FIXED_BITS (8 * (sizeof(struct address) + sizeof(__u32) + 2))

/* The forwards that have this frontend. A change replaces one forward by another at one moment, so
 * there is room for both; at most one of them is alive in any epoch. Zero: none.
 */
struct frontend {
	__u32 forward[2];
};

/* A forward, as far as packets are concerned. Alive while born <= epoch < dies. */
struct forward {
	__u64 born;
	__u64 dies;
	__u32 backend; /* id; the first of backend_count consecutive ones */
	__u32 backend_count;
	__u16 port_first; /* of the frontend, host order */
	__u16 port_last;
	__u8 flags; /* FORWARD_* */
	__u8 pad[3];
};

enum forward_flag {
	FORWARD_PORT_BY_PORT =
		1, /* the n-th port of the frontend goes to the n-th of the backend */
};

/* A forward, as far as only the control plane is concerned. Strings end with or are filled up by
 * zeroes.
 */
struct forward_info {
	struct address address; /* of the frontend; zero: every address of this host */
	__u8 name[NAME_SIZE];
	__u8 comment[COMMENT_SIZE];
	__u8 devices[MAX_DEVICES][DEVICE_NAME_SIZE];
	__u8 protocol;
	__u8 source; /* SOURCE_* */
	__u8 pad[6];
};

enum source {
	SOURCE_AUTO,
	SOURCE_PRESERVE,
};

/* A backend. Its slot is never freed, so that a generation, once used, does not come back. */
struct backend {
	struct address address; /* zero: this host, whatever the address that the client used */
	__u32 generation;	/* raised when the slot is taken and when its flows must end */
	__u16 port_first;	/* host order */
	__u16 port_last;
	__u8 state; /* BACKEND_* */
	__u8 pad[3];
};

enum backend_state {
	BACKEND_ACTIVE,
	BACKEND_GONE, /* its forward is deleted; only TCP flows that were established live on */
};

/* What the programs must know of each port of one protocol, before they look anything else up. */
struct port_set {
	__u8 flags[65536]; /* PORT_*; by port in host order */
};

enum port_flag {
	PORT_FRONTEND = 1,	   /* a frontend has just this port */
	PORT_FRONTEND_RANGE = 2,   /* a frontend's range has it */
	PORT_FRONTEND_ADDRESS = 4, /* one of these has an address */
	PORT_FRONTEND_DEVICE = 8,  /* one of these is bound to a device */
	PORT_TARGET = 16,	   /* a backend on this host has it, or had, and flows live on */
	PORT_LINGERING = 32,	   /* a frontend of a deleted forward whose flows live on */
};

/* A device on which packets arrive. */
struct device {
	struct address primary4; /* the first global address, zero if none */
	struct address primary6;
};

/* What the control plane may change at run time. */
struct settings {
	__u64 epoch; /* of the forwards that are alive; first, for it is written by itself */
	struct address primary4; /* of the host: the device with the default route; zero if none */
	struct address primary6;
	__u32 layout; /* LAYOUT_VERSION of the programs that made the maps */
	__u32 max_flows;
	__u64 netns_cookie; /* of the namespace that the instance belongs to */
	__u64 build;	    /* of the programs, to see whether a newer command has others */
};

/* A fragment's datagram (RFC 791, RFC 8200 4.5). */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id; /* as on the wire, IPv4 widened */
	__u8 protocol;
	__u8 pad[3];
};

/* Where the first fragment of a datagram went, so that the others follow. */
struct fragment {
	struct tuple to; /* what its tuple became; only the addresses concern the others */
	__u64 seen;	 /* now() */
	__u32 forward;
	__u8 reverse; /* 1: towards the client */
	__u8 pad[3];
};

/* What a socket reached instead of what its program asked for. */
struct socket_peer_key {
	__u64 cookie;
	struct address address;
	__be16 port;
	__u8 pad[6];
};

struct socket_peer {
	struct address address; /* as the program asked */
	__be16 port;
	__u8 pad[2];
};

/* Traffic of one forward on one CPU, as it is on the wire, link-layer headers included. */
struct counters {
	__u64 forward_packets;
	__u64 forward_bytes;
	__u64 reverse_packets;
	__u64 reverse_bytes;
	__u64 opened; /* flows made */
};

struct forward_reason_key {
	__u32 forward;
	__u32 reason;
};

/* Why a packet left us otherwise than translated. The names, in lower case and with hyphens, are what
 * users see.
 */
enum reason {
	REASON_NOT_IP,		 /* neither TCP nor UDP over IPv4 or IPv6, nor an error about it */
	REASON_MALFORMED,	 /* headers cut off or lengths that contradict each other */
	REASON_VLAN,		 /* tagged: the VLAN's own device will see it */
	REASON_NO_FRONTEND,	 /* a port that no forward has, or not on this address or device */
	REASON_NOT_THIS_HOST,	 /* for another host */
	REASON_NO_FLOW,		 /* from a target's port, but no reply of ours */
	REASON_DIRECT,		 /* a client that talks to a target itself */
	REASON_FRAGMENT_EARLY,	 /* a fragment whose first one we have not seen */
	REASON_ICMP_TRANSLATED,	 /* an ICMP error about a translated packet, translated too */
	REASON_ICMP_UNRELATED,	 /* an ICMP error about no flow of ours, or no error */
	REASON_NO_LOCAL_ADDRESS, /* to a virtual address, but the device has no own one */
	REASON_LOOPBACK,	 /* from outside to a loopback address (RFC 1122 3.2.1.3) */
	REASON_NO_SOURCE_PORT,	 /* the client's port is taken, and so are all tried instead */
	REASON_FLOW_INSERT,	 /* the kernel refused a flow entry */
	REASON_REWRITE,		 /* the kernel refused to change the packet */
	REASON_COUNT,
};

/* What a function that gives reasons returns if it has none. */
#define REASON_NONE (-2)

/* Those before it are reasons to leave a packet as it is. */
#define REASON_FIRST_DROP REASON_LOOPBACK

#endif
