//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The programs. What they do begins in decide.h (packets) and connect.h (sockets). */

#include "apply_skb.h"
#include "apply_xdp.h"
#include "connect.h"

/* The kernel grants the helpers that we use to programs that are compatible with its own licence. */
char _license[] SEC("license") = "Dual BSD/GPL";

/* Brings the enums of abi.h into BTF, from which their Go constants are made. */
const struct {
	enum reason reason;
	enum flow_flag flow_flag;
	enum flow_sent flow_sent;
	enum port_flag port_flag;
	enum address_flag address_flag;
	enum balance balance;
	enum own own;
	enum backend_state backend_state;
	enum backend_source backend_source;
	enum device_flag device_flag;
	enum next_hop_way next_hop_way;
	enum source source;
	enum check_kind check_kind;
	enum health health;
	enum flow_table flow_table;
	enum mss mss;
} *abi_enums __attribute__((unused));

SEC("tc")
int xfwd_ingress(struct __sk_buff *skb)
{
	return serve_ingress(skb, false);
}

SEC("tc")
int xfwd_egress(struct __sk_buff *skb)
{
	return serve_egress(skb, false);
}

SEC("tc")
int xfwd_ingress_raw(struct __sk_buff *skb)
{
	return serve_ingress(skb, true);
}

SEC("tc")
int xfwd_egress_raw(struct __sk_buff *skb)
{
	return serve_egress(skb, true);
}

SEC("tc")
int xfwd_port(struct __sk_buff *skb)
{
	return serve_port(skb);
}

SEC("tc")
int xfwd_port_egress(struct __sk_buff *skb)
{
	return serve_port_egress(skb);
}

SEC("tc")
int xfwd_bridge_egress(struct __sk_buff *skb)
{
	return serve_bridge_egress(skb);
}

SEC("xdp")
int xfwd_xdp(struct xdp_md *ctx)
{
	return serve_xdp(ctx, ctx->data_end - ctx->data);
}

/* For frames that take more than one buffer, with large MTUs; since Linux 5.18. */
SEC("xdp.frags")
int xfwd_xdp_frags(struct xdp_md *ctx)
{
	return serve_xdp(ctx, bpf_xdp_get_buff_len(ctx));
}

SEC("cgroup/connect4")
int xfwd_connect4(struct bpf_sock_addr *ctx)
{
	return serve_connect4(ctx);
}

SEC("cgroup/connect6")
int xfwd_connect6(struct bpf_sock_addr *ctx)
{
	return serve_connect6(ctx);
}

SEC("cgroup/sendmsg4")
int xfwd_sendmsg4(struct bpf_sock_addr *ctx)
{
	return serve_connect4(ctx);
}

SEC("cgroup/sendmsg6")
int xfwd_sendmsg6(struct bpf_sock_addr *ctx)
{
	return serve_connect6(ctx);
}

SEC("cgroup/recvmsg4")
int xfwd_recvmsg4(struct bpf_sock_addr *ctx)
{
	return serve_peername4(ctx);
}

SEC("cgroup/recvmsg6")
int xfwd_recvmsg6(struct bpf_sock_addr *ctx)
{
	return serve_peername6(ctx);
}

SEC("cgroup/getpeername4")
int xfwd_getpeername4(struct bpf_sock_addr *ctx)
{
	return serve_peername4(ctx);
}

SEC("cgroup/getpeername6")
int xfwd_getpeername6(struct bpf_sock_addr *ctx)
{
	return serve_peername6(ctx);
}
