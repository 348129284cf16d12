// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A client reaches the target through the frontend, and the application sees
// the client's real address: TCP and UDP, IPv4 and IPv6, whatever kind of
// address the frontend has.
func TestClientReachesLocalTarget(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name     string
		explicit bool
		dial     func(*lab.Network) lab.Addresses
	}{
		{"every address of the host", false, func(n *lab.Network) lab.Addresses { return n.HostAddr }},
		{"one address", true, func(n *lab.Network) lab.Addresses { return n.HostAddr }},
		{"an address that is routed to the host", true, func(n *lab.Network) lab.Addresses { return n.VIP }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			frontends := kind.dial(net)
			x := net.Host.XFWD()
			if kind.explicit {
				for _, addr := range frontends.All() {
					x.Add(at(addr, 80).String()+"/tcp+udp", "30080")
				}
			} else {
				x.Add("80/tcp+udp", "30080")
			}
			for _, network := range networks {
				net.Host.Echo(network, ":30080")
				for family, frontend := range frontends.All() {
					within(t, net, network+" "+family, func(t *testing.T) {
						conn := net.Client.MustConnect(network, at(frontend, 80))
						mustEcho(t, conn)
						mustSee(t, conn)
						if want := at(net.HostAddr.Of(frontend), 30080); network == "tcp" && conn.Server != want {
							t.Errorf("the server was reached at %v, want %v", conn.Server, want)
						}
					})
				}
			}
		})
	}
}

// A link-local address is an address of the host like any other.
func TestLinkLocalAddress(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	// By number: Go remembers what number a name has, whatever the namespace.
	host := net.Host.LinkLocal("eth0").WithZone(strconv.Itoa(net.Client.Index("eth0")))
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		conn := net.Client.MustConnect(network, at(host, 80))
		mustEcho(t, conn)
		// For the same reason the zone that it sees may be any.
		if got, want := conn.Client.Addr().WithZone(""), net.Client.LinkLocal("eth0"); got != want {
			t.Errorf("%s: the server saw %v as the client, which is %v", network, got, want)
		}
	}
}

// A target with an address of this host is rewritten to that address.
func TestTargetWithAddressOfThisHost(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	targets := lab.Addresses{V4: netip.MustParseAddr("10.0.0.5"), V6: netip.MustParseAddr("fd00::5")}
	x := net.Host.XFWD()
	for _, target := range targets.All() {
		net.Host.Address("lo", netip.PrefixFrom(target, target.BitLen()))
		for _, network := range networks {
			net.Host.Echo(network, at(target, 30080).String())
		}
		x.Add(at(net.HostAddr.Of(target), 80).String()+"/tcp+udp", at(target, 30080).String())
		x.Add(at(net.VIP.Of(target), 80).String()+"/tcp+udp", at(target, 30080).String())
	}
	for _, frontends := range []lab.Addresses{net.HostAddr, net.VIP} {
		for family, frontend := range frontends.All() {
			for _, network := range networks {
				within(t, net, network+" "+family+" "+frontend.String(), func(t *testing.T) {
					conn := net.Client.MustConnect(network, at(frontend, 80))
					mustEcho(t, conn)
					mustSee(t, conn)
					if want := at(targets.Of(frontend), 30080); conn.Server != want {
						t.Errorf("the server was reached at %v, want %v", conn.Server, want)
					}
				})
			}
		}
	}
}

// A frontend with one address leaves the host's other addresses alone, and an
// address beats none.
func TestAddressBeatsNone(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	second := lab.Addresses{V4: netip.MustParseAddr("198.18.1.7"), V6: netip.MustParseAddr("2001:db8:100::7")}
	net.Host.Address("eth0", netip.PrefixFrom(second.V4, 24))
	net.Host.Address("eth0", netip.PrefixFrom(second.V6, 128))
	net.Client.Route(netip.PrefixFrom(second.V6, 128), net.HostAddr.V6)
	net.Host.Echo("tcp", ":30081")
	net.Host.Echo("tcp", ":30082")
	x := net.Host.XFWD()
	for _, addr := range second.All() {
		x.Add(at(addr, 80).String(), "30081")
	}
	for family, addr := range net.HostAddr.All() {
		if conn, err := net.Client.Dial("tcp", at(addr, 80), anyPort); err == nil {
			conn.Close()
			t.Errorf("%s: a forward of another address answers", family)
		}
	}
	x.Add("80", "30082")
	for family, addr := range second.All() {
		for _, want := range []netip.AddrPort{at(addr, 30081), at(net.HostAddr.Of(addr), 30082)} {
			conn := net.Client.MustConnect("tcp", at(want.Addr(), 80))
			if conn.Server != want {
				t.Errorf("%s: port 80 of %v reached %v, want %v", family, want.Addr(), conn.Server, want)
			}
		}
	}
}

// A host with addresses on several devices answers on all of them, and a reply
// may leave by another device than the request came by.
func TestReplyLeavesByAnotherDevice(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	client2, host2 := net.SecondLink()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	for _, network := range networks {
		for family, host := range net.HostAddr.All() {
			within(t, net, network+" "+family, func(t *testing.T) {
				// A UDP server that is bound to no address answers from that of the
				// device by which the answer leaves.
				net.Host.Echo(network, at(host, 30080).String())
				net.Host.Echo(network, at(host2.Of(host), 30080).String())
				mustEcho(t, net.Client.MustConnect(network, at(host2.Of(host), 80)))
				before := net.Host.LinkStatistics("eth1").TxPackets
				conn, err := net.Client.Connect(network, at(host, 80), at(client2.Of(host), 0))
				if err != nil {
					t.Fatal(err)
				}
				mustEcho(t, conn)
				mustSee(t, conn)
				if after := net.Host.LinkStatistics("eth1").TxPackets; after <= before {
					t.Error("the replies did not leave by eth1: the test does not test what it says")
				}
			})
		}
	}
}
