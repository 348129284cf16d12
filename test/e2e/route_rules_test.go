// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// ruleTable is the routing table that rules of tests lead to.
const ruleTable = 100

// addRule adds a routing rule that leads to ruleTable; choose makes it one for some
// packets.
func addRule(t *testing.T, host *lab.Namespace, addr netip.Addr, choose func(*netlink.Rule)) {
	t.Helper()
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.Priority = familyOf(addr), ruleTable, 1000
	choose(rule)
	if err := host.Links().RuleAdd(rule); err != nil {
		t.Fatalf("adding %v: %v", rule, err)
	}
}

// addToTable adds a route to a routing table. A prefix that is not valid is the
// default route.
func addToTable(t *testing.T, host *lab.Namespace, table int, to netip.Prefix, via netip.Addr) {
	t.Helper()
	route := &netlink.Route{Gw: via.AsSlice(), Table: table, Family: familyOf(via)}
	if to.IsValid() {
		route.Dst = netlink.NewIPNet(to.Addr().AsSlice())
	}
	if err := host.Links().RouteAdd(route); err != nil {
		t.Fatalf("adding %v: %v", route, err)
	}
}

func familyOf(addr netip.Addr) int {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// rulePort is the port of the client that rules of tests name.
const rulePort = 5555

// What a client sends goes to a backend as the routing rules of the host say, by
// ports, protocol, addresses, device and type of service; with the first packet and
// after next hops have been looked up again.
func TestRulesForRequests(t *testing.T) {
	t.Parallel()
	const service = 0x10
	for name, choose := range map[string]func(*netlink.Rule, *lab.Site, netip.Addr){
		"to a port": func(r *netlink.Rule, _ *lab.Site, _ netip.Addr) {
			r.Dport = netlink.NewRulePortRange(30080, 30080)
		},
		"from a port": func(r *netlink.Rule, _ *lab.Site, _ netip.Addr) {
			r.Sport = netlink.NewRulePortRange(rulePort, rulePort)
		},
		"of a protocol and to a port": func(r *netlink.Rule, _ *lab.Site, _ netip.Addr) {
			r.IPProto, r.Dport = unix.IPPROTO_TCP, netlink.NewRulePortRange(30000, 31000)
		},
		"from the client": func(r *netlink.Rule, s *lab.Site, to netip.Addr) {
			r.Src = netlink.NewIPNet(s.ClientAddr.Of(to).AsSlice())
		},
		"to the backend": func(r *netlink.Rule, _ *lab.Site, to netip.Addr) { r.Dst = netlink.NewIPNet(to.AsSlice()) },
		"by a device":    func(r *netlink.Rule, _ *lab.Site, _ netip.Addr) { r.IifName = "eth0" },
		"of a service":   func(r *netlink.Rule, _ *lab.Site, _ netip.Addr) { r.Tos = service },
	} {
		for _, source := range []string{"masquerade", "preserve"} {
			t.Run(name+", "+source, func(t *testing.T) {
				t.Parallel()
				site := lab.New(t).TwoArmed(0)
				routers, far := site.Routers(1500)
				for _, addr := range far.Addr.All() {
					addRule(t, site.Host, addr, func(r *netlink.Rule) { choose(r, site, addr) })
					addToTable(t, site.Host, ruleTable, netip.PrefixFrom(addr, addr.BitLen()), routers[1].Addr.Of(addr))
				}
				site.Host.XFWD().Add(append([]string{"80/tcp+udp", "--source", source}, backends(far, 30080)...)...)
				for _, network := range networks {
					if network == "udp" && strings.HasPrefix(name, "of a protocol") {
						continue
					}
					far.Echo(network, ":30080")
					for family, host := range site.HostAddr.All() {
						within(t, site.Network, network+" "+family, func(t *testing.T) {
							main, chosen := routers[0].Capture("eth0"), routers[1].Capture("eth0")
							conn, err := site.Client.Connect(network, at(host, 80), at(site.ClientAddr.Of(host), rulePort))
							if err != nil {
								t.Fatal(err)
							}
							if name == "of a service" {
								setService(t, conn.Conn, host, service)
								time.Sleep(forgotten)
								main.Stop()
								main = routers[0].Capture("eth0")
							}
							mustEcho(t, conn)
							time.Sleep(forgotten)
							mustEcho(t, conn)
							if strays := towards(main.Stop(), 30080); strays != 0 {
								t.Errorf("%d packets went as the main table says", strays)
							}
							if towards(chosen.Stop(), 30080) == 0 {
								t.Error("no packet went as the rule says")
							}
						})
					}
				}
			})
		}
	}
}

// setService sets the type of service, or the traffic class, of what a connection
// sends.
func setService(t *testing.T, conn any, family netip.Addr, service int) {
	t.Helper()
	if family.Is4() {
		setOption(t, conn, unix.IPPROTO_IP, unix.IP_TOS, service)
	} else {
		setOption(t, conn, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, service)
	}
}

// uplinks is a host with two of them, which lead to one client far away.
type uplinks struct {
	*lab.Site
	// second are the addresses of client and host on the second uplink, eth1, and
	// world the client's address, which is on neither.
	second struct{ client, host lab.Addresses }
	world  lab.Addresses
}

// twoUplinks has the default route by eth0, and one in ruleTable by eth1.
func twoUplinks(t *testing.T, site *lab.Site) uplinks {
	t.Helper()
	u := uplinks{Site: site, world: lab.Addresses{V4: netip.MustParseAddr("203.0.113.10"), V6: netip.MustParseAddr("2001:db8:113::10")}}
	u.second.client, u.second.host = site.SecondLink()
	site.Host.DefaultRoutes(site.ClientAddr)
	for _, addr := range u.world.All() {
		site.Client.Address("lo", netip.PrefixFrom(addr, addr.BitLen()))
		addToTable(t, site.Host, ruleTable, netip.Prefix{}, u.second.client.Of(addr))
	}
	// What comes by an uplink is answered by another one where the rules are wrong; then
	// the test must find it, not the filter.
	for _, ns := range []*lab.Namespace{site.Client, site.Host} {
		for _, device := range []string{"all", "eth0", "eth1"} {
			ns.Sysctl("net.ipv4.conf."+device+".rp_filter", "0")
		}
	}
	return u
}

// mustAnswer connects from the world to an address of the host, on the uplink
// `device` or on none, and fails the test unless all answers come by a device.
func (u uplinks) mustAnswer(t *testing.T, network string, to netip.Addr, by string) {
	t.Helper()
	wrong := "eth0"
	if by == wrong {
		wrong = "eth1"
	}
	strays, answers := u.Client.Capture(wrong), u.Client.Capture(by)
	conn, err := u.Client.Connect(network, at(to, 80), at(u.world.Of(to), 0))
	if err != nil {
		t.Fatal(err)
	}
	mustEcho(t, conn)
	time.Sleep(forgotten)
	mustEcho(t, conn)
	port := conn.Local().Port()
	if n := towards(strays.Stop(), port); n != 0 {
		t.Errorf("%d answers came by %s", n, wrong)
	}
	if towards(answers.Stop(), port) == 0 {
		t.Errorf("no answer came by %s", by)
	}
}

// reach has what the client sends to the host's addresses on the second uplink go
// there.
func (u uplinks) reach() map[string]lab.Addresses {
	return map[string]lab.Addresses{"eth0": u.HostAddr, "eth1": u.second.host}
}

// The answers of backends leave by the uplink that the request came by, as rules
// by mark or by source say: netfilter would restore the mark from the connection.
func TestRulesForAnswers(t *testing.T) {
	t.Parallel()
	full := uint32(0xff00)
	for name, choose := range map[string]func(*netlink.Rule, uplinks, netip.Addr){
		"by mark":          func(r *netlink.Rule, _ uplinks, _ netip.Addr) { r.Mark = 2 },
		"by mark and mask": func(r *netlink.Rule, _ uplinks, _ netip.Addr) { r.Mark, r.Mask = 0x200, &full },
		"by source": func(r *netlink.Rule, u uplinks, a netip.Addr) {
			r.Src = netlink.NewIPNet(u.second.host.Of(a).AsSlice())
		},
	} {
		for _, place := range []string{"bridge", "machine"} {
			t.Run(name+", "+place, func(t *testing.T) {
				t.Parallel()
				var u uplinks
				if place == "bridge" {
					u = twoUplinks(t, lab.New(t).Containers(1))
				} else {
					// Its device is eth1 otherwise.
					u = twoUplinks(t, machineBehind(lab.New(t)))
				}
				server := u.Servers[0]
				for _, addr := range u.HostAddr.All() {
					addRule(t, u.Host, addr, func(r *netlink.Rule) { choose(r, u, addr) })
				}
				u.Host.XFWD().Add(append([]string{"80/tcp+udp", "--source", "preserve"}, backends(server, 30080)...)...)
				for _, network := range networks {
					server.Echo(network, ":30080")
					for device, host := range u.reach() {
						for family, addr := range host.All() {
							within(t, u.Network, network+" "+family+" by "+device, func(t *testing.T) { u.mustAnswer(t, network, addr, device) })
						}
					}
				}
			})
		}
	}
}

// machineBehind is a site with a machine on a device of its own, which is an
// ordinary network card as far as the host knows.
func machineBehind(l *lab.Lab) *lab.Site {
	site := l.Direct().Containers(0)
	site.Servers, site.Device = []lab.Server{site.Alone}, "pod0"
	return site
}

// Without rules all answers leave by the default route: the tests above find what
// they look for.
func TestNoRulesForAnswers(t *testing.T) {
	t.Parallel()
	u := twoUplinks(t, lab.New(t).Containers(1))
	u.Host.XFWD().Add(append([]string{"80/tcp+udp"}, backends(u.Servers[0], 30080)...)...)
	for _, network := range networks {
		u.Servers[0].Echo(network, ":30080")
		for family, addr := range u.second.host.All() {
			within(t, u.Network, network+" "+family, func(t *testing.T) { u.mustAnswer(t, network, addr, "eth0") })
		}
	}
}

// Rules by marks are told: those that answers follow, and those that nobody can.
func TestRulesByMarkAreTold(t *testing.T) {
	t.Parallel()
	u := twoUplinks(t, lab.New(t).Containers(1))
	const other = 200
	for _, addr := range u.HostAddr.All() {
		addRule(t, u.Host, addr, func(r *netlink.Rule) { r.Mark = 2 })
		// By the device of the default route, where nothing tells which packets have the
		// mark.
		router := u.ClientAddr.Of(addr).Next().Next()
		addToTable(t, u.Host, other, netip.Prefix{}, router)
		addRule(t, u.Host, addr, func(r *netlink.Rule) { r.Mark, r.Table, r.Priority = 7, other, 1100 })
		// To the main table, as of programs that mark what they send themselves.
		addRule(t, u.Host, addr, func(r *netlink.Rule) { r.Mark, r.Table, r.Priority = 9, unix.RT_TABLE_MAIN, 1200 })
	}
	x := u.Host.XFWD()
	if said := x.Add("81", "30081").Stderr; strings.Contains(said, "fwmark") {
		t.Errorf("marks do not matter to a backend of this host:\n%s", said)
	}
	said := x.Add(append([]string{"80"}, backends(u.Servers[0], 30080)...)...).Stderr
	for mark, want := range map[string]string{
		"fwmark 0x2 lookup 100": "note: the routing rule 1000, fwmark 0x2 lookup 100: answers to what came by eth1 are routed by it",
		"fwmark 0x7 lookup 200": "warning: the routing rule 1100, fwmark 0x7 lookup 200, is not followed",
		"fwmark 0x9":            "",
	} {
		if line := lineWith(said, mark); !strings.HasPrefix(line, want) || (line == "") != (want == "") {
			t.Errorf("of %s add says %q, want %q", mark, line, want)
		}
		if strings.Count(said, mark) > 1 {
			t.Errorf("of %s it speaks more than once:\n%s", mark, said)
		}
	}
	warned := func(w string) bool { return strings.Contains(w, "fwmark 0x7 lookup 200, is not followed") }
	if warnings := x.Status().Warnings; !slices.ContainsFunc(warnings, warned) {
		t.Errorf("status does not warn: %s", fmt.Sprint(warnings))
	}
}
