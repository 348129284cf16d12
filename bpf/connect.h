/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The host's own connections, which never arrive on a device: a socket that asks for a frontend is given the
 * target instead, and is told the frontend when it asks whom it talks to.
 */
#ifndef XFWD_CONNECT_H
#define XFWD_CONNECT_H

#include "config.h"
#include "local.h"
#include "select.h"
#include "socket.h"
#include "stats.h"

#define SOCK_STREAM 1
#define SOCK_DGRAM 2

/* The device on which own connections arrive, were there one. Linux gives loopback this index. */
#define LOOPBACK_IFINDEX 1

#define HOOK_ALLOW 1

/* A socket's remote end, as a hook has it. */
struct remote {
	struct address address;
	__be16 port;
};

/* IPPROTO_TCP or IPPROTO_UDP; 0: none that we forward. An MPTCP connection begins as a TCP one. */
static __always_inline __u8 socket_protocol(const struct bpf_sock_addr *ctx)
{
	if (ctx->type == SOCK_STREAM &&
	    (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_MPTCP))
		return IPPROTO_TCP;
	return ctx->type == SOCK_DGRAM && ctx->protocol == IPPROTO_UDP ? IPPROTO_UDP : 0;
}

static __always_inline bool socket_is_ours(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == netns_cookie;
}

/* How a process takes what is sent to an address of this host. */
enum listening {
	NOT_LISTENING,
	LISTENING_EVERYWHERE, /* at all addresses */
	LISTENING_BY_NAME,    /* at just this one */
};

static __always_inline enum listening find_listener(struct bpf_sock_addr *ctx,
						    const struct listener *l)
{
	struct tuple to = { .destination = l->address, .destination_port = l->port };
	struct bpf_sock_tuple lookup = {};
	struct bpf_sock *sock;
	bool bound;
	__u32 size;

	if (bpf_map_lookup_elem(&loopback_listeners, l))
		return LISTENING_BY_NAME;
	size = socket_tuple(&lookup, &to);
	sock = l->protocol == IPPROTO_TCP ?
		       bpf_sk_lookup_tcp(ctx, &lookup, size, BPF_F_CURRENT_NETNS, 0) :
		       bpf_sk_lookup_udp(ctx, &lookup, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return NOT_LISTENING;
	bound = socket_is_bound(sock, &l->address);
	bpf_sk_release(sock);
	return bound ? LISTENING_BY_NAME : LISTENING_EVERYWHERE;
}

/* Who takes what is sent to `to`; to the unspecified address means to loopback. */
static __noinline int listening_at(struct bpf_sock_addr *ctx, const struct remote *to,
				   __u8 protocol)
{
	struct listener l = { .address = to->address, .port = to->port, .protocol = protocol };

	if (address_is_unspecified(&l.address))
		l.address.word[3] = bpf_htonl(address_is_ipv4(&l.address) ? 0x7f000001 : 1);
	return find_listener(ctx, &l);
}

/* Whether a forward takes this host's own connections to `to`. `with_address` says whether its frontend has one. */
static __always_inline bool takes_own(struct bpf_sock_addr *ctx, const struct remote *to,
				      __u8 protocol, __u32 forward, bool with_address)
{
	struct forward *f = bpf_map_lookup_elem(&forwards, &forward);
	__u8 own;

	if (!f)
		return false;
	own = f->own[(current_epoch() >= f->changed) & 1];
	if (own == OWN_NEVER)
		return false;
	if (own == OWN_ALWAYS || with_address)
		return true;
	return listening_at(ctx, to, protocol) != LISTENING_BY_NAME;
}

/* This host's address for its own connections, of the family of `like`; zero if none. */
static __always_inline struct address own_address(const struct address *like)
{
	struct settings *s = current_settings();

	if (!s)
		return (struct address){};
	return address_is_ipv4(like) ? s->primary4 : s->primary6;
}

/*
 * Where a connection to `to` goes instead; it is changed to that, and `target` says whose it is. False: nowhere.
 *
 * A process may answer on loopback, and at any address of this host, but a translator such as a NodePort may not: it
 * serves the host's own address. So that is used where no process listens.
 */
static __always_inline bool redirect_remote(struct bpf_sock_addr *ctx, struct remote *to,
					    struct target *target)
{
	struct destination destination = {};
	struct tuple asking = {};
	struct address own;
	bool with_address = false;
	__u8 protocol, flags;
	bool loopback;
	__u32 forward;
	__u8 known;

	protocol = socket_protocol(ctx);
	if (!protocol)
		return false;
	flags = port_flags(protocol, to->port);
	if (likely(!(flags & PORT_ANY_FRONTEND)) || !socket_is_ours(ctx))
		return false;
	destination.address = to->address;
	destination.ifindex = LOOPBACK_IFINDEX;
	destination.port = to->port;
	destination.protocol = protocol;
	forward = forward_find(&destination, flags, &with_address);
	if (!forward)
		return false;
	known = address_flags(&to->address);
	loopback = address_is_loopback(&to->address) || address_is_unspecified(&to->address);
	if (!with_address && !loopback && !address_flags_are_public(known))
		return false;
	if (!takes_own(ctx, to, protocol, forward, with_address))
		return false;
	asking.destination = to->address;
	asking.destination_port = to->port;
	asking.source_port = bpf_get_socket_cookie(ctx);
	asking.protocol = protocol;
	/* Datagrams of one socket go the same way. */
	if (select_target(forward, &asking, protocol == IPPROTO_UDP, target) != REASON_NONE)
		return false;

	to->port = target->port;
	own = own_address(&to->address);
	if (!address_is_zero(&target->address))
		to->address = target->address;
	else if (address_is_zero(&own))
		return true;
	else if ((!loopback && !(known & ADDRESS_LOCAL)) ||
		 listening_at(ctx, to, protocol) == NOT_LISTENING)
		to->address = own;
	return true;
}

static __always_inline struct socket_peer_key peer_key(struct bpf_sock_addr *ctx,
						       const struct remote *remote)
{
	return (struct socket_peer_key){
		.cookie = bpf_get_socket_cookie(ctx),
		.address = remote->address,
		.port = remote->port,
	};
}

/* Redirects a remote end and remembers what the program asked for. False: it stays. */
static __always_inline bool connect_remote(struct bpf_sock_addr *ctx, struct remote *remote)
{
	struct socket_peer asked = { .address = remote->address, .port = remote->port };
	struct socket_peer_key key;
	struct socket_peer *known;
	struct target target;

	if (!redirect_remote(ctx, remote, &target))
		return false;
	key = peer_key(ctx, remote);
	known = bpf_map_lookup_elem(&socket_peers, &key);
	if (!known)
		count_opened(target.forward, target.backend);
	if (!known || !address_equal(&known->address, &asked.address) || known->port != asked.port)
		bpf_map_update_elem(&socket_peers, &key, &asked, BPF_ANY);
	return true;
}

/*
 * Turns a remote end that a socket really has into the one that its program asked for. Every process of the
 * machine comes here with every datagram, so the port is looked at first.
 */
static __always_inline bool restore_remote(struct bpf_sock_addr *ctx, struct remote *remote)
{
	__u8 protocol = socket_protocol(ctx);
	struct socket_peer_key key;
	struct socket_peer *asked;

	if (!protocol || likely(!(port_flags(protocol, remote->port) & PORT_ANY_TARGET)))
		return false;
	key = peer_key(ctx, remote);
	asked = bpf_map_lookup_elem(&socket_peers, &key);
	if (!asked)
		return false;
	remote->address = asked->address;
	remote->port = asked->port;
	return true;
}

static __always_inline struct remote remote4(const struct bpf_sock_addr *ctx)
{
	return (struct remote){
		.address = address_from_ipv4(ctx->user_ip4),
		.port = ctx->user_port,
	};
}

static __always_inline void set_remote4(struct bpf_sock_addr *ctx, const struct remote *remote)
{
	ctx->user_ip4 = remote->address.word[3];
	ctx->user_port = remote->port;
}

static __always_inline struct remote remote6(const struct bpf_sock_addr *ctx)
{
	return (struct remote){
		.address.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
				  ctx->user_ip6[3] },
		.port = ctx->user_port,
	};
}

static __always_inline void set_remote6(struct bpf_sock_addr *ctx, const struct remote *remote)
{
	ctx->user_ip6[0] = remote->address.word[0];
	ctx->user_ip6[1] = remote->address.word[1];
	ctx->user_ip6[2] = remote->address.word[2];
	ctx->user_ip6[3] = remote->address.word[3];
	ctx->user_port = remote->port;
}

static __always_inline int serve_connect4(struct bpf_sock_addr *ctx)
{
	struct remote remote = remote4(ctx);

	if (connect_remote(ctx, &remote))
		set_remote4(ctx, &remote);
	return HOOK_ALLOW;
}

static __always_inline int serve_connect6(struct bpf_sock_addr *ctx)
{
	struct remote remote = remote6(ctx);

	if (connect_remote(ctx, &remote))
		set_remote6(ctx, &remote);
	return HOOK_ALLOW;
}

static __always_inline int serve_peername4(struct bpf_sock_addr *ctx)
{
	struct remote remote = remote4(ctx);

	if (restore_remote(ctx, &remote))
		set_remote4(ctx, &remote);
	return HOOK_ALLOW;
}

static __always_inline int serve_peername6(struct bpf_sock_addr *ctx)
{
	struct remote remote = remote6(ctx);

	if (restore_remote(ctx, &remote))
		set_remote6(ctx, &remote);
	return HOOK_ALLOW;
}

#endif
