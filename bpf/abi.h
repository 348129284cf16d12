/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs and the control plane share: the keys and values of the maps. bpf2go makes the Go
 * types from here; only internal/maps knows them. Padding is explicit and zero. Every change of a
 * layout raises LAYOUT_VERSION, which keeps a newer command from misreading older pins.
 *
 * The values of enums are part of the layout, for maps and programs of different builds meet after an upgrade.
 * So each value is written out, and a number is never given to another name. A new name with a new number needs
 * no new layout. The test in layout_test.go checks this.
 */
#ifndef XFWD_ABI_H
#define XFWD_ABI_H

#include "bpf.h"

#define LAYOUT_VERSION 4

#define MAX_FORWARDS 16384
#define MAX_BACKENDS 65536
#define FEW_BACKENDS 4096 /* ids below it are quicker to count for */
#define NAME_SIZE 64
#define COMMENT_SIZE 256
#define MAX_DEVICES 8
#define DEVICES_SIZE 256
#define MAX_LOOPBACK_LISTENERS 1024
#define MAX_MARKS 256
#define PATH_SIZE 128
#define MAX_LOCAL_PREFIXES 4096
#define MAX_SOURCE_ADDRESSES 16 /* a power of two */

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

/* How a packet gets to the device that it leaves by. */
enum next_hop_way {
	WAY_NEIGHBOUR = 0, /* the kernel must find out the neighbour's link-layer address first */
	WAY_DEVICE = 1,	   /* there is none, on a device without a link layer */
	WAY_ETHERNET = 2,  /* its link-layer addresses are known */
	/* so they are, and it is received at the other end of the device, in another namespace */
	WAY_PEER = 3,
	WAY_MARK = 4, /* the kernel looks the route up by the packet's mark, for each packet */
};

/* Where the packets of one direction of a flow leave this host, as the routing table said. */
struct next_hop {
	__u64 resolved;		     /* now(); for WAY_NEIGHBOUR, since when there is no address */
	__u32 generation;	     /* settings.route_generation at that time */
	__u32 ifindex;		     /* 0: not known */
	__u8 destination_address[6]; /* link-layer addresses, in the order of an Ethernet header; */
	__u8 source_address[6];	     /* of WAY_ETHERNET and WAY_PEER */
	__u16 mtu;		     /* bytes of an IP packet */
	__u8 way;		     /* enum next_hop_way */
	__u8 xdp; /* 1: XDP may send there: through a device that has our program in its driver */
	__u8 received_at
		[6]; /* if so: the link-layer address of ours that the flow's packets are sent to */
	__u8 pad[2];
};

/* What packets of one direction of a TCP connection have told. Only these change it. Numbers are in host order. */
struct said {
	__u32 next;	    /* the sequence number behind what they have carried */
	__u32 acknowledged; /* that of what they have acknowledged */
	__u32 fin;	    /* that behind their FIN */
	__u8 sent; /* FLOW_SENT_*: which of these are known, and what else they have told */
	__u8 pad[3];
};

/* What a flow entry knows beside its key, which direction it is included. Lives in flows_established or
 * in flows_transitory; see flow.h.
 */
struct flow {
	struct tuple to;     /* the tuple after translation */
	struct next_hop hop; /* only with FLOW_ELSEWHERE */
	__u64 last_seen;     /* now() of a recent packet, to about a second */
	__u32 forward;	     /* id of the forward; 0 where a client talks to a target directly */
	__u32 backend;	     /* id of the backend; 0 likewise */
	__u32 generation;    /* of the backend when the flow was made */
	__u32 opened;	     /* TCP: setup_clock() of the first packet */
	__u32 arrives_by; /* ifindex of the device whose IP layer packets of this direction came to; 0: not known, or they leave */
	struct said said;
	__u8 flags;   /* FLOW_* */
	__u8 leaving; /* 1: made by a packet that left, of somebody else's conversation: packets like it leave, answers arrive */
	__u8 mark;    /* that answers have for routing rules: its key in marks; 0: none */
	__u8 brief;   /* 1: UDP to a well-known port, where a question with its answer is all */
};

enum flow_flag {
	FLOW_REVERSE = 1,     /* this entry is the direction towards the client */
	FLOW_ANSWERED = 2,    /* the target has sent something */
	FLOW_FIN_FORWARD = 4, /* TCP: the client has sent FIN */
	FLOW_FIN_REVERSE = 8, /* TCP: the target has sent FIN */
	FLOW_RESET = 16,      /* TCP: either has sent RST */
	FLOW_SHADOW = 32,     /* in flows_transitory: what is true is in flows_established */
	FLOW_ELSEWHERE = 64,  /* the target is not this host: packets leave again */
	FLOW_COUNTED = 128,   /* it is one of its backend's in backend_connections */
};

/* What packets of one direction have told. */
enum flow_sent {
	FLOW_SENT_SEQUENCE = 1, /* said.next is known */
	FLOW_SENT_ACK = 2,	/* said.acknowledged is known */
	FLOW_SENT_FIN = 4,	/* said.fin is known */
	FLOW_SENT_FIN_FIRST =
		8, /* the other direction had sent none then: so TIME_WAIT is at this end */
	FLOW_SENT_LAST_ACK = 16, /* it has acknowledged the other direction's FIN */
	FLOW_SENT_RESET = 32,	 /* a RST that fits came in its name */
	FLOW_SENT_SYN = 64,	 /* established, it has sent another SYN */
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

/* How a new flow finds its backend. */
enum balance {
	BALANCE_MAGLEV = 0,	 /* by the hash of its tuple */
	BALANCE_ROUND_ROBIN = 1, /* the next in turn */
	BALANCE_RANDOM = 2,
	BALANCE_LEAST_CONNECTIONS = 3, /* the one with the fewest connections for its weight */
	BALANCE_SOURCE_HASH = 4,       /* by the hash of the client's address */
};

/* The backends that new flows of one address family can go to. */
struct pool {
	__u32 backend; /* id, if there is just one; 0: none, or see table */
	__u32 table;   /* its key in backend_tables; 0: there is none */
	__u32 size;    /* entries of that table */
	__u32 serves; /* 0: packets of this family are left alone, 1: refused if there is no backend */
};

#define POOL_IPV4 0
#define POOL_IPV6 1
#define POOL_FAMILIES 2

/*
 * A forward, as far as packets are concerned. Alive while born <= epoch < dies. A change that leaves it the same
 * forward takes place at an epoch, too: from `changed` on the second of each pair holds.
 */
struct forward {
	__u64 born;
	__u64 dies;
	__u64 changed;
	__u64 expires[2]; /* now() from which on it takes no new flows; all ones: never */
	struct pool pools[2][POOL_FAMILIES];
	__u32 affinity;	      /* seconds that a client stays with its backend; 0: off */
	__u32 affinity_group; /* id of the group of forwards that share a client's machine; 0: none */
	__u16 port_first;     /* of the frontend, host order */
	__u16 port_last;
	__u8 balance; /* enum balance */
	__u8 own[2];  /* enum own */
	__u8 pad;
	__u16 mss[2]; /* at most so much in SYNs of TCP, or one of enum mss */
	__u8 pad2[4];
};

/* The MSS that the ends of a TCP connection may say, if it is no number of bytes. */
enum mss {
	MSS_TO_MTU = 0,	  /* what fits the MTUs, and what settings.mss4 or mss6 say */
	MSS_OFF = 0xffff, /* whatever they say */
};

/* Which of this host's own connections a forward takes. */
enum own {
	/* All but those to an address that a process listens at by name: such a listener beats a frontend
	 * without an address.
	 */
	OWN_AUTO = 0,
	OWN_ALWAYS = 1,
	OWN_NEVER = 2,
};

/* How it is found out whether a backend is alive. */
enum check_kind {
	CHECK_NONE = 0,
	CHECK_TCP = 1,	/* it accepts a connection */
	CHECK_HTTP = 2, /* it answers GET with a status from 200 to 399 */
	CHECK_UDP = 3,	/* no ICMP error says that nobody has the port */
};

/* The check of a forward's backends. */
struct check {
	__u32 interval; /* milliseconds from one to the next */
	__u32 timeout;	/* milliseconds */
	__u16 port;	/* host order; 0: the backend's, the first of a range */
	__u8 kind;	/* enum check_kind */
	__u8 rise;	/* how many in a row must succeed for a backend that is down */
	__u8 fall;	/* how many must fail for one that is up */
	__u8 pad[3];
	__u8 path[PATH_SIZE]; /* CHECK_HTTP; filled up by zeroes */
};

/* A forward, as far as only the control plane is concerned. Strings end with or are filled up by
 * zeroes. Of pairs the second holds from forward.changed on.
 */
struct forward_info {
	struct address address; /* of the frontend; zero: every address of this host */
	__s64 expires_at[2];	/* seconds since 1970-01-01 UTC; 0: never */
	struct check check[2];
	__u8 name[NAME_SIZE];
	__u8 comment[COMMENT_SIZE];
	__u8 affinity_group[NAME_SIZE];
	/* Names of devices, alternative names (up to 127 bytes), and patterns such as ppp+; a zero ends each. */
	__u8 devices[DEVICES_SIZE];
	/* What the device of each name was when a command last saw it, so that a renamed device is found again. The identity is
	 * a hash of what an index that another device has got does not have; an index of 0 is no device.
	 */
	__u64 device_identities[MAX_DEVICES];
	__u32 device_ifindexes[MAX_DEVICES];
	/* The addresses that the user gave to masquerade with; the rest is zero. source_pools has those of them that this host has. */
	struct address source_addresses[MAX_SOURCE_ADDRESSES];
	__u8 protocol;
	__u8 source; /* SOURCE_* */
	__u8 pad[6];
};

/* Key and value of source_pools: our addresses of a family that masqueraded flows of a forward have. Without an entry they
 * have that of struct backend.
 */
struct source_pool_key {
	__u32 forward;
	__u32 family; /* POOL_IPV4 or POOL_IPV6 */
};

struct source_pool {
	struct address addresses[MAX_SOURCE_ADDRESSES];
	__u32 count; /* of them; never 0 */
};

enum source {
	SOURCE_AUTO = 0,
	SOURCE_PRESERVE = 1,
	SOURCE_MASQUERADE = 2,
};

/* Which source address a backend that is not this host sees. One that asks for its own service always sees ours. */
enum backend_source {
	BACKEND_KEEPS_SOURCE = 0, /* the client's */
	/* the client's, unless it came by the device that leads to the backend: then the answer would
	 * not come back through us */
	BACKEND_KEEPS_SOURCE_ACROSS = 1,
	BACKEND_MASQUERADES = 2, /* ours */
};

/* A backend. Its slot is never freed, so that a generation, once used, does not come back. */
struct backend {
	struct address address; /* zero: this host, whatever the address that the client used */
	struct address
		masquerade; /* our address for it; zero: that of the device that leads there */
	__u32 generation;   /* raised when the slot is taken and when its flows must end */
	__u16 port_first;   /* host order; a range maps port by port */
	__u16 port_last;
	__u16 weight;
	__u8 state;  /* enum backend_state */
	__u8 source; /* enum backend_source */
	__u8 pad[4];
};

enum backend_state {
	BACKEND_ACTIVE = 0,
	BACKEND_DRAINING = 1, /* takes no new flows; those it has live on */
	BACKEND_GONE = 2,     /* deleted; only TCP flows that were established live on */
};

/* What checks have found out about a backend. */
enum health {
	HEALTH_UNKNOWN = 0,
	HEALTH_UP = 1,
	HEALTH_DOWN = 2,
};

/*
 * What only the control plane must know of a backend slot that is in use. A change takes place at an epoch: from
 * `changed` on the second of each pair holds. What packets see of it, in struct backend, follows.
 */
struct backend_info {
	__u64 changed;
	__u32 forward;	   /* id */
	__u32 position[2]; /* among the backends of its forward, as their user ordered them */
	__u16 weight[2];
	__u8 state[2];	/* enum backend_state, as its user wants it */
	__u8 health[2]; /* enum health; one that is down is drained whatever its user wants */
	__u8 pad[4];
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
	PORT_ELSEWHERE = 64,	   /* like PORT_TARGET, of a backend that is not this host */
	PORT_FRONTENDS = 128,	   /* of port 0 only, which nobody uses: some port has a frontend */
};

/* A device on which packets arrive or leave. */
struct device {
	struct address primary4; /* the first global address, zero if none */
	struct address primary6;
	__u32 network_ifindex; /* where its IP layer is: itself, or the bridge, bond or team that it is a port of */
	__u32 mtu;	 /* bytes of an IP packet */
	__u8 address[6]; /* link-layer address of that device, if it has DEVICE_ETHERNET */
	__u16 flags;	 /* DEVICE_* */
	__u8 mark;	 /* its key in marks, if routing rules lead there by a mark; 0: none */
	__u8 pad[3];
};

/*
 * A mark by which routing rules (`ip rule add fwmark VALUE/MASK`) lead to a device. Who has several uplinks has netfilter
 * give it to the answers of what came by that device (CONNMARK). Netfilter does not see the packets that leave
 * again, so the programs ask for routes as if they had the mark.
 */
struct mark {
	__u32 value;
	__u32 mask;
	__u32 ifindex;
};

enum device_flag {
	DEVICE_ETHERNET = 1, /* packets begin with an Ethernet header */
	DEVICE_PEER =
		2, /* veth or netkit, whose other end is in another namespace, and leads to that only */
	DEVICE_XDP = 4, /* has our XDP program in its driver */
	DEVICE_STACKED =
		8, /* hands packets as they are to the device below it, and so to our program there */
	/* Packets of a family that arrive by it have a route whatever their destination, and no device holds addresses
	 * of services. So an address that the routing table does not forward to is this host's.
	 */
	DEVICE_ROUTES_ALL4 = 16,
	DEVICE_ROUTES_ALL6 = 32,
	/* The kernel forwards packets of IPv4 that arrive by it if a route leads to their source by this device; */
	DEVICE_SOURCE_THERE4 = 64,
	DEVICE_SOURCE_ROUTED4 = 128, /* or if any route does */
	/* What the kernel forwards by it heeds the MTU of the route and not just that of the device. */
	DEVICE_ROUTE_MTU4 = 256,
	DEVICE_ROUTE_MTU6 = 512,
};

/* What an address is to us. */
enum address_flag {
	ADDRESS_LOCAL = 1, /* this host's, when the control plane last looked */
	ADDRESS_TARGET =
		2, /* that of a backend which is not this host and sees its clients' addresses */
	ADDRESS_BACKEND = 4, /* that of a backend which is not this host */
	/* Beside ADDRESS_LOCAL: it is on a device that holds addresses of services, such as that of IPVS. Only a
	 * frontend that names it means it.
	 */
	ADDRESS_SERVICE = 8,
	ADDRESS_BROADCAST = 16, /* the broadcast address of a network of this host */
};

/* The value of known_addresses. */
struct known_address {
	/* Of ADDRESS_LOCAL: the address from which the kernel answers clients in its network, which has a prefix of so
	 * many bits, if a program leaves the choice to it.
	 */
	struct address answers;
	__u8 network_bits;
	__u8 flags; /* ADDRESS_* */
	__u8 pad[2];
};

/* A prefix whose addresses are all this host's, by a route of type local. */
struct local_prefix_key {
	__u32 prefix_length; /* bits */
	struct address address;
};

/* What the control plane may change at run time. The offsets of layout and netns_cookie are the same in every layout, so
 * that a command recognises the dataplane of another one.
 */
struct settings {
	__u64 epoch; /* of the forwards that are alive; first, for it is written by itself */
	struct address primary4; /* of the host: the device with the default route; zero if none */
	struct address primary6;
	__u32 layout; /* LAYOUT_VERSION of the programs that made the maps */
	__u32 max_flows;
	__u64 netns_cookie; /* of the namespace that the instance belongs to */
	__u64 build;	    /* of the programs, to see whether a newer command has others */
	__u32 route_generation; /* raised when routes, links or neighbours have changed, which ends every next hop */
	__u16 masquerade_first; /* ports for masqueraded flows; host order */
	__u16 masquerade_last;
	__u16 ephemeral_first; /* ports that the kernel gives to the host's own sockets; host order */
	__u16 ephemeral_last;
	__u16 mss4; /* the smallest MSS that a rule of netfilter sets in packets of IPv4; 0: none */
	__u16 mss6; /* of IPv6 */
};

/* A fragment's datagram (RFC 791, RFC 8200 4.5). */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id; /* as on the wire, IPv4 widened */
	__u8 protocol;
	__u8 pad[3];
};

/* The flow that the first fragment of a datagram belongs to, so that the others follow. */
struct fragment {
	struct tuple key;
	__u64 seen; /* now() */
};

/* What a client stays with: the backend of a forward, or the machine of a group of forwards. */
struct affinity_key {
	struct address client;
	__u32 owner; /* id of the forward, or that of the group with AFFINITY_OF_GROUP */
};

#define AFFINITY_OF_GROUP (1U << 31)

struct affinity {
	__u64 last_used; /* now() when a flow was made */
	__u32 backend;
	__u32 generation;
	__u32 forward; /* whose backend that is */
	__u8 pad[4];
	struct address machine; /* the address of the backend; zero: this host */
};

/* Key and value of group_backends: where a client of a group comes to by a forward that has a backend at its machine. */
struct group_backend_key {
	struct address machine;
	__u32 forward;
};

struct group_backend {
	__u32 backend;
	__u32 generation;
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

/* A socket that listens on the device lo only, at one address. */
struct listener {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

/* Traffic of one forward or one backend on one CPU, as it is on the wire, link-layer headers included. */
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

/* The buckets of struct setup_times. The upper bound of each is 2^(1/4) times that of the one before, and that of
 * the first 2^(SETUP_FIRST / 4) seconds: 3.8 microseconds. The last, up to 64 seconds, has all that took longer, too.
 * These are the bounds of Prometheus's native histograms of schema 2.
 */
#define SETUP_FIRST (-72)
#define SETUP_BUCKETS 97

/* How long the targets of a forward took to accept connections, from the SYN to the SYN-ACK as both passed here. */
struct setup_times {
	__u64 sum; /* nanoseconds */
	__u64 buckets[SETUP_BUCKETS];
};

enum flow_table {
	TABLE_ESTABLISHED = 0,
	TABLE_TRANSITORY = 1,
	TABLE_COUNT = 2,
};

/* What one CPU has done to a flow table. What it had too much of, the LRU has taken without a word. */
struct table_changes {
	__u64 inserted;
	__u64 deleted;
};

/* What only the control plane writes about a flow table. */
struct table_account {
	__u64 deleted;	/* by itself */
	__u64 evicted;	/* by the LRU, as far as it has found out */
	__u64 inserted; /* by itself */
};

/* Why a packet left us otherwise than translated. The names, in lower case and with hyphens, are what
 * users see. The maps have room for REASON_COUNT reasons: a new one takes the next free number of its half.
 */
enum reason {
	/* 0 to 31: the packet is left as it is. */
	REASON_NOT_IP = 0,	  /* neither TCP nor UDP over IPv4 or IPv6, nor an error about it */
	REASON_MALFORMED = 1,	  /* headers cut off or lengths that contradict each other */
	REASON_VLAN = 2,	  /* tagged: the VLAN's own device will see it */
	REASON_NO_FRONTEND = 3,	  /* a port that no forward has, or not on this address or device */
	REASON_NOT_THIS_HOST = 4, /* for another host */
	REASON_NO_FLOW = 5,	  /* of no flow of ours, and none that would open one */
	/* of a conversation that is none of ours, such as a client's with a target */
	REASON_DIRECT = 6,
	REASON_FRAGMENT_EARLY = 7,    /* a fragment whose first one we have not seen */
	REASON_ICMP_TRANSLATED = 8,   /* an ICMP error about a translated packet, translated too */
	REASON_ICMP_UNRELATED = 9,    /* an ICMP error about no flow of ours, or no error */
	REASON_NO_LOCAL_ADDRESS = 10, /* to a virtual address, but the device has no own one */
	REASON_MARTIAN = 11,	      /* of IPv6, with an address of IPv4 */
	REASON_LEFT_TO_TC = 12,	      /* XDP has no flow with a fresh next hop for it; tc decides */
	/* 32 to 63: it is dropped, or answered instead. */
	REASON_LOOPBACK = 32,	    /* from outside to a loopback address (RFC 1122 3.2.1.3) */
	REASON_NO_BACKEND = 33,	    /* no backend takes new flows: refused */
	REASON_NO_ROUTE = 34,	    /* none to the backend or the client: answered as unreachable */
	REASON_NO_NEIGHBOUR = 35,   /* nobody answers at the next hop: likewise */
	REASON_FORWARDING_OFF = 36, /* the kernel forwards nothing on this device: likewise */
	REASON_TOO_BIG = 37,	    /* for the device that it would leave by: answered so */
	REASON_TIME_EXCEEDED = 38,  /* its TTL or hop limit has run out: answered so */
	REASON_NO_SOURCE_PORT = 39, /* the client's port is taken, and so are all tried instead */
	REASON_FLOW_INSERT = 40,    /* the kernel refused a flow entry */
	REASON_REWRITE = 41,	    /* the kernel refused to change the packet */
	REASON_UNREADABLE = 42,	    /* its headers hide what it is for, which may be a frontend */
	REASON_SPOOFED = 43, /* from an address that no packet that comes so is forwarded from */
	REASON_SOURCE_ROUTED = 44, /* its sender says by which way it goes on */
	REASON_WRONG_DEVICE = 45,  /* by a device that packets of its flow do not come by */
	REASON_IMPOSTOR = 46, /* it leaves with the tuple of a client's flow that it is not of */
	REASON_COUNT = 64,    /* room for reasons, not how many there are */
};

/* What a function that gives reasons returns if it has none. */
#define REASON_NONE (-2)

/* Reasons with smaller numbers leave a packet as it is. */
#define REASON_FIRST_DROP REASON_LOOPBACK

#endif
