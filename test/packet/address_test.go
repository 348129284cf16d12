// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/test/lab"
)

// Where the target has another address than the frontend.
func TestTargetWithAnAddress(t *testing.T) {
	tcp := through(client.at(40000), host.at(80), second.at(30080))
	udp53 := through(client.at(40000), host.at(53), second.at(30053))
	runCases(t, []testCase{
		{
			name:     "TCP",
			forwards: []string{"host:80 second:30080"},
			steps:    slices.Concat(tcp.handshake(), []step{flows{Established: 1}}, tcp.goodbye()),
		},
		{
			name:     "TCP, only the address changes",
			forwards: []string{"host:80 second:80"},
			steps:    through(client.at(40000), host.at(80), second.at(80)).handshake(),
		},
		{
			name:     "UDP",
			forwards: []string{"host:53/udp second:30053"},
			steps: []step{
				udp53.asks(udp("a question of odd length.")).opening(),
				udp53.answers(udp("an answer")),
			},
		},
		{
			name:     "UDP without checksum",
			forwards: []string{"host:53/udp second:30053"},
			steps: []step{
				udp53.asks(unchecked("a question")).opening(),
				udp53.answers(unchecked("an answer")),
			},
		},
		{
			name:     "whatever the address of this host that the client uses",
			forwards: []string{"80 second:30080"},
			steps: slices.Concat(tcp.handshake(),
				through(client.at(40001), second.at(80), second.at(30080)).handshake()),
		},
		{
			name:     "for IPv4 alone, it is not for IPv6",
			forwards: []string{"80 " + second.V4.String() + ":30080"},
			families: onlyIPv6,
			steps:    []step{arrives(between(client.at(40000), host.at(80), syn(1))).stays("no-frontend"), flows{}},
		},
		{
			name:     "for IPv6 alone, it is not for IPv4",
			forwards: []string{"80 [" + second.V6.String() + "]:30080"},
			families: onlyIPv4,
			steps:    []step{arrives(between(client.at(40000), host.at(80), syn(1))).stays("no-frontend"), flows{}},
		},
	})
}

// IPv6 routes nothing from such addresses. Asked about them, the kernel says that
// the destination is nobody else's, whoever has it.
func TestSourcesThatAreNotRouted(t *testing.T) {
	toUs := through(linkLocal.at(40000), host.at(80), host.at(30080))
	runCases(t, []testCase{{
		name:     "to another host and to this one",
		forwards: []string{"80 30080"},
		families: onlyIPv6,
		steps: slices.Concat([]step{
			arrives(between(linkLocal.at(40000), besideRemote.at(80), syn(1))).stays("not-this-host"),
			arrives(between(everybody.at(40000), besideRemote.at(80), syn(1))).stays("not-this-host"),
			arrives(between(loopback.at(40000), besideRemote.at(80), syn(1))).stays("not-this-host"),
			flows{},
		}, toUs.handshake()),
	}})
}

// The frontends of a forward without an address are those of this host.
func TestWhoseAddress(t *testing.T) {
	toVIP := through(client.at(40000), vip.at(80), host.at(30080))
	runCases(t, []testCase{
		{
			name:     "every address of this host",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(),
				through(client.at(40001), second.at(80), host.at(30080)).handshake()),
		},
		{
			name:     "every address of a host that forwards nothing",
			forwards: []string{"80 30080"},
			stub:     true,
			steps: slices.Concat(web.handshake(),
				through(client.at(40001), second.at(80), host.at(30080)).handshake()),
		},
		{
			name:     "a packet for another host",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				arrives(between(client.at(40000), neighbour.at(80), syn(1))).stays("not-this-host"),
				arrives(between(client.at(40000), pod.at(80), syn(1))).stays("not-this-host"),
				arrives(between(client.at(40000), vip.at(80), syn(1))).stays("not-this-host"),
				arrives(between(client.at(40000), vip.at(80), udp("?"))).stays("not-this-host"),
				leaves(between(client.at(40000), pod.at(80), syn(1))).stays("no-frontend"),
				arrives(between(pod.at(30080), client.at(40000), synAck(1, 2))).stays("no-frontend"),
				leaves(between(pod.at(30080), client.at(40000), synAck(1, 2))).stays("no-flow"),
				flows{},
			},
		},
		{
			// It is not the same as no address, which the entries of "80" have.
			name:     "a packet for the unspecified address, beside a forward that has one",
			forwards: []string{"80/tcp+udp 30080", "second:80/tcp+udp 30081"},
			families: onlyIPv6,
			steps: []step{
				arrives(between(client.at(40000), unspecified.at(80), syn(1))).stays("not-this-host"),
				arrives(between(client.at(40000), unspecified.at(80), udp("?"))).stays("not-this-host"),
				flows{},
			},
		},
		{
			name:     "a packet for another host that reaches one which forwards nothing",
			forwards: []string{"80/tcp+udp 30080"},
			stub:     true,
			steps: []step{
				arrives(between(client.at(40000), neighbour.at(80), syn(1))).stays("not-this-host"),
				arrives(between(client.at(40000), vip.at(80), udp("?"))).stays("not-this-host"),
				flows{},
			},
		},
		{
			name:     "a packet for another host's target",
			forwards: []string{"80 30080"},
			steps: []step{
				arrives(between(client.at(40000), neighbour.at(30080), syn(1))).stays("direct"),
				leaves(between(client.at(40000), neighbour.at(30080), syn(1))).stays("no-frontend"),
				flows{},
			},
		},
		{
			name:     "only the one address",
			forwards: []string{"second:80 30080"},
			steps: slices.Concat(
				through(client.at(40000), second.at(80), host.at(30080)).handshake(),
				[]step{
					arrives(between(client.at(40000), host.at(80), syn(1))).stays("no-frontend"),
					arrives(between(client.at(40000), neighbour.at(80), syn(1))).stays("no-frontend"),
				},
			),
		},
		{
			name:     "the one address of a host that forwards nothing",
			forwards: []string{"second:80 30080"},
			stub:     true,
			steps:    through(client.at(40000), second.at(80), host.at(30080)).handshake(),
		},
		{
			name:     "a virtual address: the primary one of the device",
			forwards: []string{"vip:80 30080"},
			steps: slices.Concat(toVIP.handshake(), toVIP.goodbye(), []step{
				arrives(between(client.at(40001), vip.at(80), syn(1))).
					becomes(between(client.at(40001), second.at(30080), syn(1))).opening().on("eth1"),
			}),
		},
		{
			name:     "a virtual address of a host that forwards nothing",
			forwards: []string{"vip:80 30080"},
			stub:     true,
			steps:    slices.Concat(toVIP.handshake(), toVIP.goodbye()),
		},
		{
			name:     "a virtual address and a target with one",
			forwards: []string{"vip:80 second:30080"},
			steps:    through(client.at(40000), vip.at(80), second.at(30080)).handshake(),
		},
	})
}

// The frame says whom a packet is for before the IP header does.
func TestFramesForOthers(t *testing.T) {
	toHost := arrives(between(client.at(40000), host.at(80), udp("?")))
	runCases(t, []testCase{{
		name:     "another machine, everybody, some",
		forwards: []string{"80/udp 30080"},
		links:    onlyEthernet,
		steps: []step{
			toHost.addressed(net.HardwareAddr{2, 0, 0, 0, 0, 9}).stays("not-this-host"),
			toHost.addressed(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}).stays("not-this-host"),
			toHost.addressed(net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}).stays("not-this-host"),
			flows{},
		},
	}})
}

// Packets from outside to a loopback address have no business here (RFC 1122
// 3.2.1.3), whoever would answer.
func TestLoopbackFromOutside(t *testing.T) {
	toLoopback := arrives(between(client.at(40000), loopback.at(80), syn(1)))
	var cases []testCase
	for kind, stub := range map[string]bool{"router": false, "stub": true} {
		cases = append(cases,
			testCase{
				name:     kind + " with a forward of every address",
				forwards: []string{"80/tcp+udp 30080"},
				stub:     stub,
				steps: []step{
					toLoopback.isDropped("loopback"),
					arrives(between(client.at(40000), loopback.at(80), udp("?"))).isDropped("loopback"),
					flows{},
				},
			},
			testCase{
				name:     kind + " with a forward of the loopback address",
				forwards: []string{"loopback:80 loopback:30080"},
				stub:     stub,
				steps:    []step{toLoopback.isDropped("loopback"), flows{}},
			},
			testCase{
				name:     kind + " without a forward",
				forwards: []string{"81 30080"},
				stub:     stub,
				steps:    []step{toLoopback.stays("no-frontend"), flows{}},
			},
		)
	}
	runCases(t, cases)
}

// An address that came after the last command is this host's for the routing
// table, which is asked.
func TestAddressThatIsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fresh := addresses("192.0.2.99", "2001:db8:2::99")
	comes := does(func(r *run) {
		a := fresh.address(r.family)
		r.host.Address("eth0", netip.PrefixFrom(a, a.BitLen()))
		lab.Eventually(r, lab.Patience, func() error { return r.isLocal(a) })
	})
	w.runCases(t, []testCase{{
		name:     "on a router",
		forwards: []string{"80 30080"},
		links:    []linkLayer{ethernet},
		steps:    append([]step{comes}, through(client.at(40000), fresh.at(80), host.at(30080)).handshake()...),
	}})
}

// A virtual address needs an own one to be translated to.
func TestVIPOnAHostWithLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.Do(func() {
		for _, to := range []string{"0.0.0.0/0", "::/0"} {
			_, prefix, _ := net.ParseCIDR(to)
			if err := netlink.RouteDel(&netlink.Route{Dst: prefix}); err != nil {
				t.Fatal(err)
			}
		}
	})
	toVIP := arrives(between(client.at(40000), vip.at(80), syn(1)))
	w.runCases(t, []testCase{
		{
			name:     "no route",
			forwards: []string{"vip:80 30080"},
			steps:    through(client.at(40000), vip.at(80), host.at(30080)).handshake(),
		},
		{
			// The routing table says the same of it as of an address that has just come.
			name:     "no route, to an address that is no frontend's",
			forwards: []string{"80/tcp+udp 30080"},
			steps: slices.Concat(
				[]step{
					arrives(between(client.at(40000), vip.at(80), syn(1))).stays("not-this-host"),
					arrives(between(client.at(40000), vip.at(80), udp("?"))).stays("not-this-host"),
				},
				web.handshake(),
			),
		},
		{
			name:     "no route, and it forwards nothing",
			forwards: []string{"vip:80 30080"},
			stub:     true,
			steps:    through(client.at(40000), vip.at(80), host.at(30080)).handshake(),
		},
	})
	for _, m := range []machine{host, second, gateway} {
		for _, a := range []netip.Addr{m.V4, m.V6} {
			w.withdraw(t, a)
		}
	}
	w.change(t, ctl.Delete(nil, true), ctl.ExistingKeep)
	w.runCases(t, []testCase{{
		name:     "no address",
		forwards: []string{"vip:80 30080"},
		steps:    []step{toVIP.stays("no-local-address"), flows{}},
	}})
}

// Clients outside have nothing to do with the addresses of services that are on the
// host, and no single host has those of networks and of groups, whatever the routing
// table says. A network may be the host's by a route.
func TestAddressesThatAreNotForEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish()
	stays := func(to ...machine) (steps []step) {
		for _, m := range to {
			steps = append(steps,
				arrives(between(client.at(40000), m.at(80), syn(1))).stays("not-this-host"),
				arrives(between(client.at(40000), m.at(80), udp("?"))).stays("not-this-host"))
		}
		return append(steps, flows{})
	}
	forgets := does(func(r *run) {
		if err := r.giveDefault(false); err != nil {
			r.Fatal(err)
		}
	})
	remembers := does(func(r *run) {
		if err := r.giveDefault(true); err != nil {
			r.Fatal(err)
		}
	})
	for _, stub := range []bool{false, true} {
		for _, w.certain = range []bool{false, true} {
			name := fmt.Sprintf("forwards %v, certain %v: ", !stub, w.certain)
			w.runCases(t, []testCase{
				{
					name: name + "left out", stub: stub, forwards: []string{"80/tcp+udp 30090"},
					steps: stays(service, everybody, limited, broadcasts4, vip),
				},
				{
					name: name + "without a default route", stub: stub, forwards: []string{"80/tcp+udp 30090"},
					steps: slices.Concat([]step{forgets}, stays(service, everybody, limited, broadcasts4, vip), []step{remembers}),
				},
				{
					name: name + "named", stub: stub, forwards: []string{"service:80 30090"},
					steps: through(client.at(40000), service.at(80), host.at(30090)).handshake(),
				},
				{
					name: name + "by a route", stub: stub, forwards: []string{"80 30090"},
					steps: through(client.at(40000), anycast.at(80), host.at(30090)).handshake(),
				},
			})
		}
	}
}

// isLocal says whether an address is the host's for the routing table: IPv6
// addresses become that a moment after they are there.
func (w *world) isLocal(a netip.Addr) (err error) {
	w.host.Do(func() {
		var routes []netlink.Route
		routes, err = netlink.RouteGet(a.AsSlice())
		if err == nil && routes[0].Type != unix.RTN_LOCAL {
			err = fmt.Errorf("%v is not local", a)
		}
	})
	return err
}

// withdraw takes an address off the host.
func (w *world) withdraw(t *testing.T, a netip.Addr) {
	t.Helper()
	w.host.Do(func() {
		addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range addresses {
			if address.IP.Equal(a.AsSlice()) {
				if err := netlink.AddrDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: address.LinkIndex}}, &address); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
