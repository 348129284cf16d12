// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// fleet is a host with backends behind it, which answer by it: pods.
type fleet struct {
	*lab.Network
	xfwd *lab.XFWD
	pods []lab.Pod
}

// fleetPort is where backends of a fleet listen.
const fleetPort = 8080

// newFleet makes backends that serve echo over TCP and UDP. A server says which
// of them it is by its address.
func newFleet(t *testing.T, count int) *fleet {
	t.Helper()
	f := newSilentFleet(t, count)
	for _, pod := range f.pods {
		for _, addr := range pod.Addr.All() {
			for _, network := range networks {
				pod.Echo(network, at(addr, fleetPort).String())
			}
		}
	}
	return f
}

// newSilentFleet makes backends without servers.
func newSilentFleet(t *testing.T, count int) *fleet {
	t.Helper()
	lan := lab.New(t).Direct()
	return &fleet{Network: lan, pods: lan.Pods(count, 1500), xfwd: lan.Host.XFWD()}
}

// backends are the addresses of some backends, in both families, as xfwd takes
// them; options such as ",weight=3" go behind each.
func (f *fleet) backends(options string, which ...int) (words []string) {
	for _, i := range which {
		for _, addr := range f.pods[i].Addr.All() {
			words = append(words, at(addr, fleetPort).String()+options)
		}
	}
	return words
}

// all are the addresses of all backends.
func (f *fleet) all() (words []string) {
	for i := range f.pods {
		words = append(words, f.backends("", i)...)
	}
	return words
}

// weighted are the addresses of all backends with a weight for each.
func (f *fleet) weighted(weights ...int) (words []string) {
	for i, weight := range weights {
		words = append(words, f.backends(fmt.Sprintf(",weight=%d", weight), i)...)
	}
	return words
}

// publish adds a forward; more are further words of `xfwd add`.
func (f *fleet) publish(t *testing.T, frontend string, backends []string, more ...string) {
	t.Helper()
	f.xfwd.Add(append(append([]string{frontend}, backends...), more...)...)
}

// change runs `xfwd backend ACTION FRONTEND BACKEND...`.
func (f *fleet) change(t *testing.T, action, frontend string, backends ...string) {
	t.Helper()
	f.xfwd.Do(append([]string{"backend", action, frontend}, backends...)...)
}

// index says which backend has an address.
func (f *fleet) index(t *testing.T, addr netip.Addr) int {
	t.Helper()
	for i, pod := range f.pods {
		if pod.Addr.Of(addr) == addr {
			return i
		}
	}
	t.Fatalf("%v is no backend's address", addr)
	return -1
}

// ask makes a flow from a port of the client's and says which backend has it. The
// connection is closed again.
func (f *fleet) ask(t *testing.T, network string, to, from netip.AddrPort) int {
	t.Helper()
	conn, err := f.Client.Connect(network, to, from)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return f.index(t, conn.Server.Addr())
}

// open makes flows from any ports and keeps them, by the backend that has them.
func (f *fleet) open(t *testing.T, network string, to netip.AddrPort, count int) map[int][]*lab.Conn {
	t.Helper()
	conns := map[int][]*lab.Conn{}
	for range count {
		conn := f.Client.MustConnect(network, to)
		mustEcho(t, conn)
		i := f.index(t, conn.Server.Addr())
		conns[i] = append(conns[i], conn)
	}
	return conns
}

// crowd makes the client as many clients as are asked for; the host routes their
// addresses, which are of RFC 2544's range and RFC 3849's, to it.
func (f *fleet) crowd(t *testing.T, count int) []lab.Addresses {
	t.Helper()
	f.Client.Sysctl("net.ipv6.ip_nonlocal_bind", "1")
	prefixes := []netip.Prefix{netip.MustParsePrefix("198.19.0.0/16"), netip.MustParsePrefix("2001:db8:19::/64")}
	for _, prefix := range prefixes {
		// A local route makes every address of the prefix the client's own, though IPv6 does not
		// let programs bind to it just so.
		err := f.Client.Links().RouteAdd(&netlink.Route{
			Dst:       &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())},
			LinkIndex: f.Client.Index("lo"),
			Type:      unix.RTN_LOCAL,
			Table:     unix.RT_TABLE_LOCAL,
			Scope:     netlink.SCOPE_HOST,
		})
		if err != nil {
			t.Fatalf("making %v the client's: %v", prefix, err)
		}
		f.Host.Route(prefix, f.ClientAddr.Of(prefix.Addr()))
	}
	clients := make([]lab.Addresses, count)
	for i := range clients {
		v6 := prefixes[1].Addr().As16()
		v6[13], v6[14], v6[15] = 1, byte(i>>8), byte(i)
		clients[i] = lab.Addresses{V4: netip.AddrFrom4([4]byte{198, 19, byte(1 + i>>8), byte(i)}), V6: netip.AddrFrom16(v6)}
	}
	return clients
}
