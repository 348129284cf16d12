// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// A node has the addresses of all services on kube-ipvs0, where IPVS takes what is sent
// to them. A forward without an address leaves them out, those that come later too.
func TestAddressesOfServices(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	for _, isDefault := range []bool{false, true} {
		t.Run(fmt.Sprintf("default route %v", isDefault), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			pods := net.Pods(2, 1500)
			if isDefault {
				net.Host.DefaultRoutes(net.ClientAddr)
			}
			old := lab.Addresses{V4: netip.MustParseAddr("10.96.0.10"), V6: netip.MustParseAddr("2001:db8:96::10")}
			fresh := lab.Addresses{V4: netip.MustParseAddr("10.96.0.11"), V6: netip.MustParseAddr("2001:db8:96::11")}
			net.Host.Run("ip", "link", "add", "kube-ipvs0", "type", "bridge")
			has := func(service lab.Addresses) {
				for _, a := range service.All() {
					net.Host.Address("kube-ipvs0", netip.PrefixFrom(a, a.BitLen()))
				}
			}
			has(old)
			rules := nodePortTables
			for _, network := range networks {
				pods[1].Echo(network, ":8080")
				net.Host.Echo(network, ":30080")
				for _, service := range []lab.Addresses{old, fresh} { // as IPVS would
					for _, chain := range []string{"prerouting", "output"} {
						rules += fmt.Sprintf("add rule ip node %s ip daddr %v %s dport 80 dnat to %v:8080\n", chain, service.V4, network, pods[1].Addr.V4)
						rules += fmt.Sprintf("add rule ip6 node %s ip6 daddr %v %s dport 80 dnat to [%v]:8080\n", chain, service.V6, network, pods[1].Addr.V6)
					}
				}
			}
			net.Host.Run("nft", rules)
			x := net.Host.XFWD()
			added := x.Add("80/tcp+udp", "30080")
			const note = "note: a forward without an address leaves out the addresses of services on kube-ipvs0 (10.96.0.10 and 1 more): `xfwd add 10.96.0.10:80/tcp BACKEND` takes one\n"
			if !strings.Contains(added.Stderr, note) {
				t.Errorf("xfwd add says %q, want %q in it", added.Stderr, note)
			}
			has(fresh)
			for _, a := range old.All() {
				x.Add(frontend(a, "81/tcp+udp"), "30080")
			}
			ask := func(network string, from *lab.Namespace, to netip.AddrPort, server uint16) {
				t.Helper()
				conn := from.MustConnect(network, to)
				mustEcho(t, conn)
				if conn.Server.Port() != server {
					t.Errorf("%s %v asked %v and was answered by %v, want port %d", network, from.Name, to, conn.Server, server)
				}
			}
			for _, network := range networks {
				for family, a := range old.All() {
					within(t, net, network+" "+family, func(t *testing.T) {
						for _, from := range []*lab.Namespace{pods[0].Namespace, net.Host} {
							ask(network, from, at(a, 80), 8080)
							ask(network, from, at(fresh.Of(a), 80), 8080)
							ask(network, from, at(a, 81), 30080)
						}
						ask(network, net.Client, at(net.HostAddr.Of(a), 80), 30080)
					})
				}
			}
		})
	}
}

// Without a route the routing table says as little of an address as of this host's own:
// what is for nobody, for several or for another is left alone, by a router too.
func TestPacketsForOthersWithoutARoute(t *testing.T) {
	t.Parallel()
	for _, router := range []bool{false, true} {
		for _, hadDefault := range []bool{false, true} {
			t.Run(fmt.Sprintf("router %v, default route before %v", router, hadDefault), func(t *testing.T) {
				t.Parallel()
				net := lab.New(t).Direct()
				if router {
					net.Host.Forwarding()
				}
				if hadDefault {
					net.Host.DefaultRoutes(net.ClientAddr)
				}
				x := net.Host.XFWD()
				x.Add("80/tcp+udp", "30080")
				dropDefault(t, net.Host)
				injector := net.Client.Injector("eth0", net.Host, "eth0")
				send := func(to netip.Addr, port uint16) {
					from := net.ClientAddr.Of(to)
					injector.Send(from, to, &layers.TCP{SrcPort: layers.TCPPort(port), DstPort: 80, Seq: 1, SYN: true, Window: 65535}, nil)
					injector.Send(from, to, &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 80}, []byte("hello"))
				}
				for i, to := range []string{
					"255.255.255.255", "224.0.0.1", "198.18.1.255", "203.0.113.5", "198.18.1.77", "240.0.0.5",
					"ff02::1", "2001:db8:ff::5", "2001:db8:1::77",
				} {
					send(netip.MustParseAddr(to), uint16(41000+i))
				}
				for _, to := range net.HostAddr.All() {
					send(to, 42000)
				}
				// What came last has been served, so all has been decided.
				lab.Eventually(t, lab.Patience, func() error {
					if n := len(x.Flows()); n < 4 {
						return fmt.Errorf("%d flows, want 4", n)
					}
					return nil
				})
				for _, flow := range x.Flows() {
					if flow.Client.Port != 42000 {
						t.Errorf("there is a flow %+v", flow)
					}
				}
			})
		}
	}
}

// Nothing but one machine can be a backend.
func TestBackendsThatAreNoMachine(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for backend, why := range map[string]string{
		"198.18.1.255:80":    "198.18.1.255 is the broadcast address of a network of this host, and a backend is one machine; give the address of that machine",
		"255.255.255.255:80": "255.255.255.255 is the broadcast address; only unicast is forwarded",
		"224.0.0.1:80":       "224.0.0.1 is a multicast address; only unicast is forwarded",
		"[ff02::1]:80":       "ff02::1 is a multicast address; only unicast is forwarded",
	} {
		result := x.Run("add", "80/udp", backend)
		if result.Status != 2 || !strings.Contains(result.Stderr, why) || strings.Count(result.Stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d and %q, want 2 and %q", backend, result.Status, result.Stderr, why)
		}
	}
	if forwards := x.List(); len(forwards) != 0 {
		t.Errorf("there are forwards: %+v", forwards)
	}
}
