// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/test/lab"
	"github.com/xfwd/xfwd/test/model"
)

// contestRule is a routing rule of the host in contests: for the packets that it is
// about, where they leave, and the same as the kernel has it.
type contestRule struct {
	is     func(model.Question) bool
	kernel func(*netlink.Rule, family)
	to     *exit
	// network is the destination of the only route of the rule's table, if that is not
	// the default.
	network func(family) netip.Prefix
}

// contestMark is that of the last rule.
const contestMark = 2

// contestClass is the traffic class of most packets.
const contestClass = 0x28

// contestRules are in the order of their priority. None leads by default to a
// device that leads to machines behind the host, which would not be such any more.
var contestRules = []contestRule{
	{ // by protocol and port of the target
		is: func(q model.Question) bool { return q.Protocol == protocolUDP && q.Destination.Port() == 8080 },
		kernel: func(r *netlink.Rule, _ family) {
			r.IPProto, r.Dport = protocolUDP, netlink.NewRulePortRange(8080, 8080)
		},
		to: toBeside,
	},
	{ // by the client, whoever the target takes it for; of IPv6 with the traffic class
		is: func(q model.Question) bool {
			from := q.Source.Addr()
			return from == client.V4 || from == client.V6 && q.Class&0xfc == contestClass
		},
		kernel: func(r *netlink.Rule, f family) {
			r.Src = netlink.NewIPNet(client.address(f).AsSlice())
			if f == 6 {
				r.Tos = contestClass
			}
		},
		to: toBeside,
	},
	{ // by the port of the frontend
		is: func(q model.Question) bool { return q.Protocol == unix.IPPROTO_TCP && q.Source.Port() == 81 },
		kernel: func(r *netlink.Rule, _ family) {
			r.IPProto, r.Sport = unix.IPPROTO_TCP, netlink.NewRulePortRange(81, 81)
		},
		to: toBeside,
	},
	{ // by the mark of eth1
		is: func(q model.Question) bool {
			a := q.Destination.Addr()
			return q.Answers == "eth1" && fibKnowsMarks && clientNetwork(familyOfAddr(a)).Contains(a)
		},
		kernel: func(r *netlink.Rule, _ family) {
			mask := uint32(0xf)
			r.Mark, r.Mask = contestMark, &mask
		},
		to:      toBesideRemote,
		network: clientNetwork,
	},
}

// fibKnowsMarks: bpf_fib_lookup does from Linux 6.10 on. Before that the kernel
// looks routes by marks up when it sends, which frames of test runs do not show.
var fibKnowsMarks = func() bool {
	var major, minor int
	_, err := fmt.Sscanf(loader.KernelRelease(), "%d.%d", &major, &minor)
	must(err)
	return major > 6 || major == 6 && minor >= 10
}()

func (r contestRule) chooses(q model.Question) bool { return r.is(q) }

func familyOfAddr(a netip.Addr) family {
	if a.Is4() {
		return 4
	}
	return 6
}

// clientNetwork is the one that the client is in.
func clientNetwork(f family) netip.Prefix {
	return netip.PrefixFrom(client.address(f), map[family]int{4: 24, 6: 64}[f]).Masked()
}

// addContestRules gives the host the rules.
func (w *world) addContestRules(tb lab.TB) {
	tb.Helper()
	const firstTable = 201
	for i, r := range contestRules {
		if r.network != nil && !fibKnowsMarks {
			continue
		}
		for _, f := range bothFamilies {
			rule := netlink.NewRule()
			rule.Family, rule.Table, rule.Priority = map[family]int{4: unix.AF_INET, 6: unix.AF_INET6}[f], firstTable+i, firstTable+i
			r.kernel(rule, f)
			if err := w.host.Links().RuleAdd(rule); err != nil {
				tb.Fatalf("%v: %v", rule, err)
			}
			route := &netlink.Route{Gw: r.to.next.address(f).AsSlice(), Table: firstTable + i, Family: rule.Family}
			if r.network != nil {
				n := r.network(f)
				route.Dst = &net.IPNet{IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen())}
			}
			if err := w.host.Links().RouteAdd(route); err != nil {
				tb.Fatalf("%v: %v", route, err)
			}
		}
	}
}
