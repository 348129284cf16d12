// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// network gives the namespace of a loader these devices, addresses and routes, in
// words: "veth NAME", "dummy NAME", "tun NAME", "tap NAME", "card NAME" (of a virtual
// machine), "bridge NAME PORT...", "address DEVICE PREFIX [FLAG]", "route PREFIX
// GATEWAY", "route PREFIX dev DEVICE" and "unreachable PREFIX".
func network(t *testing.T, l *Loader, lines ...string) *Host {
	t.Helper()
	for _, line := range lines {
		err := l.namespace.Do(func() error { return configure(strings.Fields(line)) })
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	h, err := l.Host()
	must(t, err)
	return h
}

func configure(words []string) error {
	switch words[0] {
	case "veth":
		return addUp(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: words[1]}, PeerName: words[1] + "-peer"})
	case "tap", "tun", "card":
		tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: words[1]}, Mode: netlink.TUNTAP_MODE_TAP}
		switch words[0] {
		case "tun":
			tap.Mode = netlink.TUNTAP_MODE_TUN
		case "card":
			tap.Flags = netlink.TUNTAP_VNET_HDR
		}
		return addUp(tap)
	case "vxlan":
		return addUp(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: words[1]}, VxlanId: 7, Port: 4789})
	case "bridge":
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: words[1]}}
		if err := addUp(bridge); err != nil {
			return err
		}
		for _, port := range words[2:] {
			l, err := netlink.LinkByName(port)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetMaster(l, bridge); err != nil {
				return err
			}
		}
		return nil
	case "address":
		l, err := netlink.LinkByName(words[1])
		if err != nil {
			return err
		}
		address := &netlink.Addr{IPNet: prefix(words[2])}
		if address.IP.To4() == nil {
			address.Flags = unix.IFA_F_NODAD
		}
		if len(words) > 3 {
			switch words[3] {
			case "managed":
				// The kernel makes a temporary one beside it.
				address.Flags |= unix.IFA_F_MANAGETEMPADDR
			case "deprecated":
				// A valid lifetime and no preferred one.
				address.ValidLft = 3600
			}
		}
		if err := netlink.AddrAdd(l, address); err != nil || address.Flags&unix.IFA_F_MANAGETEMPADDR == 0 {
			return err
		}
		return awaitTemporary(l)
	case "use_tempaddr":
		// Nobody waits for neighbours that have the address.
		if err := writeSysctl("net.ipv6.conf."+words[1]+".dad_transmits", "0"); err != nil {
			return err
		}
		return writeSysctl("net.ipv6.conf."+words[1]+".use_tempaddr", words[2])
	case "unreachable":
		return netlink.RouteAdd(&netlink.Route{Dst: prefix(words[1]), Type: unix.RTN_UNREACHABLE})
	}
	route := &netlink.Route{Dst: prefix(words[1])}
	if words[2] == "dev" {
		l, err := netlink.LinkByName(words[3])
		if err != nil {
			return err
		}
		route.LinkIndex = l.Attrs().Index
	} else {
		route.Gw = net.ParseIP(words[2])
	}
	return netlink.RouteAdd(route)
}

// awaitTemporary waits until a device has a temporary address that the kernel uses.
func awaitTemporary(l netlink.Link) error {
	for range 500 {
		addresses, err := netlink.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			if a.Flags&(unix.IFA_F_TEMPORARY|unix.IFA_F_TENTATIVE) == unix.IFA_F_TEMPORARY {
				return nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s has no temporary address", l.Attrs().Name)
}

func addUp(l netlink.Link) error {
	if err := netlink.LinkAdd(l); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	veth, is := l.(*netlink.Veth)
	if !is {
		return nil
	}
	peer, err := netlink.LinkByName(veth.PeerName)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(peer)
}

func prefix(s string) *net.IPNet {
	p := netip.MustParsePrefix(s)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func TestRoutesToBackends(t *testing.T) {
	for _, test := range []struct {
		name    string
		network []string
		to      string
		want    Route // without Ifindex; a Route without Device is none
	}{
		{
			name:    "a container on its own device",
			network: []string{"veth v0", "address v0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want:    Route{Device: "v0", Source: netip.MustParseAddr("10.0.1.1"), Behind: true, Why: "10.0.1.100 is behind this host on v0"},
		},
		{
			name:    "a container on a bridge",
			network: []string{"veth v0", "bridge br0 v0", "address br0 2001:db8:1::1/64"},
			to:      "2001:db8:1::100",
			want:    Route{Device: "br0", Source: netip.MustParseAddr("2001:db8:1::1"), Behind: true, Why: "2001:db8:1::100 is behind this host on br0"},
		},
		{
			name:    "a virtual machine",
			network: []string{"card t0", "bridge br0 t0", "address br0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want:    Route{Device: "br0", Source: netip.MustParseAddr("10.0.1.1"), Behind: true, Why: "10.0.1.100 is behind this host on br0"},
		},
		{
			name:    "a virtual machine on its own device",
			network: []string{"card t0", "address t0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want:    Route{Device: "t0", Source: netip.MustParseAddr("10.0.1.1"), Behind: true, Why: "10.0.1.100 is behind this host on t0"},
		},
		{
			name:    "the far end of a tunnel by a tun device",
			network: []string{"tun t0", "address t0 10.8.0.1/24"},
			to:      "10.8.0.2",
			want: Route{
				Device: "t0", Source: netip.MustParseAddr("10.8.0.1"),
				Why: "10.8.0.2 is another machine on t0, whose answers would not come back through this host",
			},
		},
		{
			name:    "the far end of a tunnel by a tap device",
			network: []string{"tap t0", "address t0 2001:db8:8::1/64"},
			to:      "2001:db8:8::2",
			want: Route{
				Device: "t0", Source: netip.MustParseAddr("2001:db8:8::1"),
				Why: "2001:db8:8::2 is another machine on t0, whose answers would not come back through this host",
			},
		},
		{
			name:    "a tunnel that is the port of a bridge",
			network: []string{"card t0", "tap t1", "bridge br0 t0 t1", "address br0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want: Route{
				Device: "br0", Source: netip.MustParseAddr("10.0.1.1"),
				Why: "10.0.1.100 is another machine on br0, whose answers would not come back through this host",
			},
		},
		{
			name:    "a container beside one that is a router to another network",
			network: []string{"veth v0", "bridge br0 v0", "address br0 10.0.1.1/24", "route 10.99.0.0/16 10.0.1.5"},
			to:      "10.0.1.100",
			want:    Route{Device: "br0", Source: netip.MustParseAddr("10.0.1.1"), Behind: true, Why: "10.0.1.100 is behind this host on br0"},
		},
		{
			name:    "a bridge that is the uplink",
			network: []string{"veth v0", "bridge br0 v0", "address br0 2001:db8:1::1/64", "route ::/0 2001:db8:1::fe"},
			to:      "2001:db8:1::100",
			want: Route{
				Device: "br0", Source: netip.MustParseAddr("2001:db8:1::1"),
				Why: "2001:db8:1::100 is another machine on br0, whose answers would not come back through this host",
			},
		},
		{
			name:    "a bridge that is the uplink to half of everybody",
			network: []string{"veth v0", "bridge br0 v0", "address br0 10.0.1.1/24", "route 128.0.0.0/1 10.0.1.254"},
			to:      "10.0.1.100",
			want: Route{
				Device: "br0", Source: netip.MustParseAddr("10.0.1.1"),
				Why: "10.0.1.100 is another machine on br0, whose answers would not come back through this host",
			},
		},
		{
			name: "an address of this host that is temporary",
			network: []string{
				"veth v0", "use_tempaddr v0 2", "address v0 2001:db8:2::9/64", "address v0 2001:db8:1::7/64 managed",
			},
			to:   "2001:db8:1::100",
			want: Route{Device: "v0", Source: netip.MustParseAddr("2001:db8:1::7"), Behind: true, Why: "2001:db8:1::100 is behind this host on v0"},
		},
		{
			name: "a deprecated address of this host on the way, and another one elsewhere",
			network: []string{
				"veth v0", "address v0 2001:db8:1::9/64 deprecated",
				"veth v1", "address v1 2001:db8:2::1/64",
			},
			to:   "2001:db8:1::100",
			want: Route{Device: "v0", Source: netip.MustParseAddr("2001:db8:2::1"), Behind: true, Why: "2001:db8:1::100 is behind this host on v0"},
		},
		{
			name:    "an address of this host that is deprecated, and no other",
			network: []string{"veth v0", "address v0 2001:db8:1::9/64 deprecated"},
			to:      "2001:db8:1::100",
			want:    Route{Device: "v0", Source: netip.MustParseAddr("2001:db8:1::9"), Behind: true, Why: "2001:db8:1::100 is behind this host on v0"},
		},
		{
			name:    "a bridge without ports",
			network: []string{"bridge br0", "address br0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want:    Route{Device: "br0", Source: netip.MustParseAddr("10.0.1.1"), Behind: true, Why: "10.0.1.100 is behind this host on br0"},
		},
		{
			name:    "a bridge that leads to other machines",
			network: []string{"veth v0", "vxlan x0", "bridge br0 v0 x0", "address br0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want: Route{
				Device: "br0", Source: netip.MustParseAddr("10.0.1.1"),
				Why: "10.0.1.100 is another machine on br0, whose answers would not come back through this host",
			},
		},
		{
			name:    "an uplink by its default route",
			network: []string{"veth v0", "address v0 192.0.2.1/24", "route 0.0.0.0/0 192.0.2.254"},
			to:      "192.0.2.7",
			want: Route{
				Device: "v0", Source: netip.MustParseAddr("192.0.2.1"),
				Why: "192.0.2.7 is another machine on v0, whose answers would not come back through this host",
			},
		},
		{
			name:    "an uplink without a gateway",
			network: []string{"veth v0", "address v0 192.0.2.1/24", "route 0.0.0.0/0 dev v0"},
			to:      "198.51.100.7",
			want: Route{
				Device: "v0", Source: netip.MustParseAddr("192.0.2.1"),
				Why: "198.51.100.7 is another machine on v0, whose answers would not come back through this host",
			},
		},
		{
			name:    "an uplink of the other family",
			network: []string{"veth v0", "address v0 192.0.2.1/24", "address v0 2001:db8::1/64", "route 2001:db8:ff::/48 2001:db8::fe"},
			to:      "192.0.2.7",
			want: Route{
				Device: "v0", Source: netip.MustParseAddr("192.0.2.1"),
				Why: "192.0.2.7 is another machine on v0, whose answers would not come back through this host",
			},
		},
		{
			name:    "behind a gateway",
			network: []string{"veth v0", "address v0 192.0.2.1/24", "route 10.0.0.0/8 192.0.2.254"},
			to:      "10.0.1.100",
			want: Route{
				Device: "v0", Source: netip.MustParseAddr("192.0.2.1"), Gateway: netip.MustParseAddr("192.0.2.254"),
				Why: "10.0.1.100 is reached by the gateway 192.0.2.254",
			},
		},
		{
			name:    "a kind that leads to other machines",
			network: []string{"vxlan x0", "address x0 10.0.1.1/24"},
			to:      "10.0.1.100",
			want: Route{
				Device: "x0", Source: netip.MustParseAddr("10.0.1.1"),
				Why: "10.0.1.100 is another machine on x0, whose answers would not come back through this host",
			},
		},
		{
			name: "nowhere",
			to:   "10.0.1.100",
			want: Route{Why: "there is no route to 10.0.1.100"},
		},
		{
			name:    "unreachable",
			network: []string{"unreachable 10.0.0.0/8"},
			to:      "10.0.1.100",
			want:    Route{Why: "the route to 10.0.1.100 says that it must not be reached"},
		},
		{
			name:    "broadcast",
			network: []string{"veth v0", "address v0 10.0.1.1/24"},
			to:      "10.0.1.255",
			want:    Route{Why: "10.0.1.255 is not the address of a single host"},
		},
		{
			name:    "itself",
			network: []string{"veth v0", "address v0 10.0.1.1/24"},
			to:      "10.0.1.1",
			want:    Route{Why: "10.0.1.1 is routed to this host itself, though it is no address of a device"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := network(t, newLoader(t), test.network...)
			for range 2 { // found, then remembered
				got, ok := h.Route(netip.MustParseAddr(test.to))
				if found := test.want.Device != ""; ok != found || got.Ifindex != h.byName[got.Device].index() {
					t.Errorf("found %t, want %t, ifindex %d", ok, found, got.Ifindex)
				}
				// What carrier these devices have is nobody's business here.
				got.Ifindex, got.Down, got.borrows = 0, false, false
				if got != test.want {
					t.Errorf("\n got %+v\nwant %+v", got, test.want)
				}
			}
		})
	}
}

// index is 0 where there is no device.
func (d *device) index() int {
	if d == nil {
		return 0
	}
	return d.ifindex
}

func TestForwardingOff(t *testing.T) {
	l := newLoader(t)
	h := network(t, l, "veth v0.1", "bridge br0 a1")
	for _, test := range []struct {
		set  map[string]string
		ipv6 bool
		want []string
	}{
		{want: []string{"net.ipv4.ip_forward"}},
		{ipv6: true, want: []string{"net.ipv6.conf.all.forwarding"}},
		{set: map[string]string{"ipv4.ip_forward": "1"}},
		{ipv6: true, want: []string{"net.ipv6.conf.all.forwarding"}},
		{
			set:  map[string]string{"ipv4.conf.v0/1.forwarding": "0", "ipv4.conf.a1.forwarding": "0"},
			want: []string{"net.ipv4.conf.v0/1.forwarding"},
		},
		{set: map[string]string{"ipv6.conf.all.forwarding": "1"}, ipv6: true},
	} {
		must(t, l.namespace.Do(func() error {
			for name, value := range test.set {
				if err := writeSysctl("net."+name, value); err != nil {
					return err
				}
			}
			return nil
		}))
		if got := h.ForwardingOff(test.ipv6); !slices.Equal(got, test.want) {
			t.Errorf("after %v: %v, want %v", test.set, got, test.want)
		}
	}
}
