// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// allOf is the default route of a family.
func allOf(addr netip.Addr) netip.Prefix {
	return netip.PrefixFrom(map[bool]netip.Addr{true: netip.IPv4Unspecified(), false: netip.IPv6Unspecified()}[addr.Is4()], 0)
}

// A route that makes a backend on a bridge another machine, as far as anybody can
// tell, changes which source it sees; the next command says so, of each forward,
// and says it back. A route to some network by a container does not.
func TestSourceChangesAreTold(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(2)
	server, router := site.Servers[0], site.Servers[1]
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp"}, backends(server, 30080)...)...)
	for _, network := range networks {
		server.Echo(network, ":30080")
	}
	mustSeeClients := func(kept bool) {
		t.Helper()
		for _, network := range networks {
			for _, host := range site.HostAddr.All() {
				conn := site.Client.MustConnect(network, at(host, 80))
				if kept {
					mustSee(t, conn)
				} else {
					mustBeMasqueraded(t, site, conn)
				}
			}
		}
	}
	// An unrelated command.
	other := func() string {
		t.Helper()
		said := notes(x.Add("9000", "30000"))
		x.Do("del", "9000")
		return said
	}
	mustSeeClients(true)

	site.Host.Route(netip.MustParsePrefix("203.0.113.0/24"), router.Addr.V4)
	site.Host.Route(netip.MustParsePrefix("2001:db8:113::/48"), router.Addr.V6)
	if said := other(); said != "" {
		t.Errorf("a container that is a router to some network changes nothing, but add says\n%s", said)
	}
	mustSeeClients(true)

	for _, addr := range router.Addr.All() {
		site.Host.Route(allOf(addr), addr)
	}
	said := other()
	for _, network := range networks {
		for _, addr := range server.Addr.All() {
			want := "80/" + network + " to " + at(addr, 30080).String() + " now masquerades as " + site.HostSide.Of(addr).String()
			line := lineWith(said, want)
			if !strings.Contains(line, "is another machine on br0") || !strings.Contains(line, "--source preserve") {
				t.Errorf("want a line with %q, and why, of\n%s", want, said)
			}
		}
	}
	mustSeeClients(false)
	if said := other(); said != "" {
		t.Errorf("it is told more than once:\n%s", said)
	}

	for _, addr := range router.Addr.All() {
		if err := site.Host.Links().RouteDel(&netlink.Route{Gw: addr.AsSlice(), Family: familyOf(addr)}); err != nil {
			t.Fatal(err)
		}
	}
	if said := other(); strings.Count(said, "now keeps clients' addresses: ") != 4 {
		t.Errorf("want that both forwards keep clients' addresses again, got\n%s", said)
	}
	mustSeeClients(true)
}

// serve says it, too, when it sees by itself that a bridge has an uplink.
func TestServeTellsOfSourceChanges(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	server := site.Servers[0]
	x := site.Host.XFWD()
	x.Add(append([]string{"80"}, backends(server, 30080)...)...)
	serve := x.Serve()
	uplink := site.Lab.Namespace("uplink")
	site.Lab.Veth(site.Host, "port9", uplink, "eth0", 1500)
	site.Host.Port(site.Device, "port9")
	for _, addr := range site.HostSide.All() {
		site.Host.Route(allOf(addr), server.Addr.Of(addr))
	}
	// A route alone is no reason to look at the host as a whole; a device is.
	site.Host.Down("port9")
	site.Host.Up("port9")
	lab.Eventually(t, soon, func() error {
		if said := serve.Stderr.String(); strings.Count(said, "now masquerades as") < 2 {
			return errors.New("serve does not say that the source is masqueraded now: " + said)
		}
		return nil
	})
}

// Temporary and deprecated addresses of IPv6 are no masquerade addresses, whatever
// the kernel would choose for itself.
func TestMasqueradeAddressLasts(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(1)
	server := site.Servers[0]
	device, err := site.Host.Links().LinkByName(site.Device)
	if err != nil {
		t.Fatal(err)
	}
	address := func(a netip.Addr) *netlink.Addr {
		n := netlink.NewIPNet(a.AsSlice())
		n.Mask = net.CIDRMask(64, 128)
		return &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}
	}
	first := site.HostSide.V6
	deprecated, lasting := address(first.Next()), address(first.Next().Next())
	// A valid lifetime and no preferred one.
	deprecated.ValidLft = 3600
	// The kernel makes a temporary one of the same network, and prefers it.
	lasting.Flags |= unix.IFA_F_MANAGETEMPADDR
	site.Host.Sysctl("net.ipv6.conf."+site.Device+".use_tempaddr", "2")
	site.Host.Sysctl("net.ipv6.conf."+site.Device+".dad_transmits", "0")
	if err := errors.Join(site.Host.Links().AddrDel(device, address(first)),
		site.Host.Links().AddrAdd(device, deprecated), site.Host.Links().AddrAdd(device, lasting)); err != nil {
		t.Fatal(err)
	}
	kernels := func() (netip.Addr, error) {
		routes, err := site.Host.Links().RouteGet(server.Addr.V6.AsSlice())
		if err != nil {
			return netip.Addr{}, err
		}
		a, _ := netip.AddrFromSlice(routes[0].Src)
		return a, nil
	}
	lab.Eventually(t, lab.Patience, func() error {
		a, err := kernels()
		if err == nil && (a == first.Next() || a == first.Next().Next()) {
			err = fmt.Errorf("the kernel prefers %v, which is not temporary", a)
		}
		return err
	})

	x := site.Host.XFWD()
	want := first.Next().Next()
	said := x.Add("80/tcp+udp", at(server.Addr.V6, 30080).String(), "--source", "masquerade").Stderr
	if !strings.Contains(said, "masqueraded as "+want.String()+",") {
		t.Errorf("want %v as the source, got\n%s", want, said)
	}
	for _, network := range networks {
		server.Echo(network, ":30080")
		if conn := site.Client.MustConnect(network, at(site.HostAddr.V6, 80)); conn.Client.Addr() != want {
			t.Errorf("over %s the server saw %v, want %v", network, conn.Client, want)
		}
	}
}
