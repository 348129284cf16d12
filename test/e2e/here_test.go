// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// seconds gives the host more addresses on eth0, and returns those that are the
// device's first in each family, and another in the same network: the kernel lists
// addresses of IPv6 the latest first.
func seconds(net *lab.Network) (first, second lab.Addresses) {
	added := net.Host.Join("eth0", 1, 10)
	return lab.Addresses{V4: net.HostAddr.V4, V6: added.V6}, lab.Addresses{V4: added.V4, V6: net.HostAddr.V6}
}

// A UDP server that is bound to no address answers from the one that the kernel chooses
// for the client, and yet is reached at every address; one that is bound to an address
// is reached there. TCP answers from where it was asked.
func TestServersOfASecondAddress(t *testing.T) {
	t.Parallel()
	for _, forwards := range []bool{false, true} {
		t.Run(fmt.Sprintf("forwards %v", forwards), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			if forwards {
				net.Host.Forwarding()
			}
			first, second := seconds(net)
			// The client reaches this one by its router only, and the host answers that from
			// its first address.
			apart := netip.MustParseAddr("198.18.20.1")
			net.Host.Address("eth0", netip.PrefixFrom(apart, 24))
			net.Client.Route(netip.PrefixFrom(apart, 32), net.HostAddr.V4)
			x := net.Host.XFWD()
			x.Add("80/tcp+udp", "30080")
			x.Add("81/tcp+udp", "30081")
			for _, addresses := range []lab.Addresses{second, net.VIP} {
				for _, a := range addresses.All() {
					x.Add(frontend(a, "82/tcp+udp"), "30080")
				}
			}
			for _, network := range networks {
				net.Host.Echo(network, ":30080")
				for _, a := range []netip.Addr{second.V4, second.V6, apart} {
					net.Host.Echo(network, at(a, 30081).String())
				}
				for family, a := range second.All() {
					within(t, net, network+" "+family, func(t *testing.T) {
						others := []netip.Addr{a}
						if a.Is4() {
							others = append(others, apart)
						}
						for _, to := range append(others, first.Of(a)) {
							conn := net.Client.MustConnect(network, at(to, 80))
							mustEcho(t, conn)
							mustSee(t, conn)
						}
						for _, to := range others {
							conn := net.Client.MustConnect(network, at(to, 81))
							mustEcho(t, conn)
							if want := at(to, 30081); conn.Server != want {
								t.Errorf("the server bound to %v was asked at %v", want, conn.Server)
							}
						}
						for _, to := range []netip.Addr{a, net.VIP.Of(a)} {
							mustEcho(t, net.Client.MustConnect(network, at(to, 82)))
						}
					})
				}
			}
		})
	}
}

// A translator that serves the host's first address only, as kube-proxy's NodePorts in
// nftables mode, is reached at every address; at a virtual one also once the host has it.
func TestNodePortOfTheFirstAddress(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	pod := net.Pods(1, 1500)[0]
	first, second := seconds(net)
	rules := nodePortTables
	for _, network := range networks {
		pod.Echo(network, ":8080")
		rules += fmt.Sprintf("add rule ip node prerouting ip daddr %v %s dport 30080 dnat to %v:8080\n", first.V4, network, pod.Addr.V4)
		rules += fmt.Sprintf("add rule ip6 node prerouting ip6 daddr %v %s dport 30080 dnat to [%v]:8080\n", first.V6, network, pod.Addr.V6)
	}
	net.Host.Run("nft", rules)
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, a := range net.VIP.All() {
		x.Add(frontend(a, "80/tcp+udp"), "30080")
	}
	ask := func(when string, addresses lab.Addresses) {
		for _, network := range networks {
			for family, to := range addresses.All() {
				within(t, net, when+" "+network+" "+family, func(t *testing.T) {
					conn := net.Client.MustConnect(network, at(to, 80))
					mustEcho(t, conn)
					mustSee(t, conn)
				})
			}
		}
	}
	ask("the first address", first)
	ask("another", second)
	ask("a virtual one", net.VIP)
	for _, a := range net.VIP.All() {
		net.Host.Address("lo", netip.PrefixFrom(a, a.BitLen()))
	}
	ask("a virtual one that has come", net.VIP)
	x.Add("9999", "9998")
	ask("a virtual one that is known", net.VIP)
}

// An address that is this host's by a route only is one like all others.
func TestAddressesByRoute(t *testing.T) {
	t.Parallel()
	for _, forwards := range []bool{false, true} {
		t.Run(fmt.Sprintf("forwards %v", forwards), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			if forwards {
				net.Host.Forwarding()
			}
			for _, prefix := range []string{"203.0.113.7/32", "2001:db8:113::7/128", "192.0.3.0/24", "2001:db8:114::/64"} {
				p := netip.MustParsePrefix(prefix)
				net.Client.Route(p, net.HostAddr.Of(p.Addr()))
				net.Host.Run("ip", "route", "add", "local", prefix, "dev", "lo")
			}
			for _, network := range networks {
				net.Host.Echo(network, ":30080")
			}
			x := net.Host.XFWD()
			x.Add("80/tcp+udp", "30080")
			for _, address := range []string{"203.0.113.7", "2001:db8:113::7", "192.0.3.77", "2001:db8:114::77"} {
				for _, network := range networks {
					to := at(netip.MustParseAddr(address), 80)
					within(t, net, network+" "+address, func(t *testing.T) {
						mustEcho(t, net.Client.MustConnect(network, to))
						if network == "tcp" {
							mustEcho(t, net.Host.MustConnect(network, to))
						}
					})
				}
			}
			// Once the route has gone, so has the address.
			net.Host.Run("ip", "route", "del", "local", "192.0.3.0/24", "dev", "lo")
			x.Add("9999", "9998")
			if _, err := net.Client.Connect("tcp", at(netip.MustParseAddr("192.0.3.77"), 80), anyPort); err == nil {
				t.Error("an address whose route has gone is still served")
			}
		})
	}
}

// dropDefault takes the default routes from a namespace.
func dropDefault(t *testing.T, n *lab.Namespace) {
	t.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := n.Links().RouteList(nil, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if r.Dst == nil || r.Dst.IP.IsUnspecified() {
				if err := n.Links().RouteDel(&r); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
