// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ruled is a step that gives the host a routing rule until the end of the case: what
// it chooses leaves by another machine.
func ruled(by *exit, choose func(*netlink.Rule, family)) step {
	return does(func(r *run) {
		r.Helper()
		const table = 300
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority = map[family]int{4: unix.AF_INET, 6: unix.AF_INET6}[r.family], table, table
		choose(rule, r.family)
		route := &netlink.Route{Gw: by.next.address(r.family).AsSlice(), Table: table, Family: rule.Family}
		links := r.host.Links()
		if err := links.RuleAdd(rule); err != nil {
			r.Fatalf("%v: %v", rule, err)
		}
		r.Cleanup(func() {
			if err := links.RuleDel(rule); err != nil {
				r.Errorf("%v: %v", rule, err)
			}
		})
		if err := links.RouteAdd(route); err != nil {
			r.Fatalf("%v: %v", route, err)
		}
		r.Cleanup(func() {
			if err := links.RouteDel(route); err != nil {
				r.Errorf("%v: %v", route, err)
			}
		})
	})
}

// Rules of the host choose the way of each direction, at first and whenever the next
// hop is looked up again.
func TestRoutingRules(t *testing.T) {
	asks := through(client.at(31000), host.at(80), remote.at(8080)).seenAs(second.at(31000))
	straight := asks.between(toRouter, toRemote)
	request, reply := asks.between(toRouter, toBesideRemote), asks.between(toBeside, toRemote)
	forwards := []string{"80/tcp+udp remote:8080 --source masquerade"}
	later := idle(freshness + time.Second)
	of := func(f func(*netlink.Rule)) func(*netlink.Rule, family) {
		return func(r *netlink.Rule, _ family) { f(r) }
	}
	var cases []testCase
	for name, choose := range map[string]func(*netlink.Rule, family){
		"to the target's port":       of(func(r *netlink.Rule) { r.Dport = netlink.NewRulePortRange(8080, 8080) }),
		"from the client's port":     of(func(r *netlink.Rule) { r.Sport = netlink.NewRulePortRange(31000, 31000) }),
		"from the client":            func(r *netlink.Rule, f family) { r.Src = netlink.NewIPNet(client.address(f).AsSlice()) },
		"by the device and protocol": of(func(r *netlink.Rule) { r.IifName, r.IPProto = "eth0", unix.IPPROTO_UDP }),
	} {
		cases = append(cases, testCase{
			name: "requests, " + name, forwards: forwards,
			steps: []step{
				ruled(toBesideRemote, choose),
				request.asks(udp("?")).opening(), straight.answers(udp("!")), request.asks(udp("?")),
				later, request.asks(udp("?")), straight.answers(udp("!")),
			},
		})
	}
	for name, choose := range map[string]func(*netlink.Rule, family){
		"from the frontend's port": of(func(r *netlink.Rule) { r.Sport = netlink.NewRulePortRange(80, 80) }),
		"to the client's port":     of(func(r *netlink.Rule) { r.Dport = netlink.NewRulePortRange(31000, 31000) }),
		"from the frontend":        func(r *netlink.Rule, f family) { r.Src = netlink.NewIPNet(host.address(f).AsSlice()) },
	} {
		cases = append(cases, testCase{
			name: "answers, " + name, forwards: forwards,
			steps: []step{
				ruled(toBeside, choose),
				straight.asks(udp("?")).opening(), reply.answers(udp("!")), straight.asks(udp("?")), reply.answers(udp("!")),
				later, straight.asks(udp("?")), reply.answers(udp("!")),
			},
		})
	}
	runCases(t, cases)
}
