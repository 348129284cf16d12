// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

// site is a topology that has been built.
type site struct {
	tb                        lab.TB
	client, forwarder, server *lab.Namespace
	// listen is where the server answers.
	listen []netip.AddrPort
	// lanes are one for each peer.
	lanes []lane
	// cpus are the processors of server and forwarder.
	cpus unix.CPUSet
}

// lane is a peer's part of a site: addresses that it shares with no other. Where
// they differ, a connection cannot meet what one of another peer has left in
// TIME_WAIT: its sequence numbers and time stamps need not fit, and then the
// handshake takes a second. A forwarder that masquerades makes all clients one,
// so a backend elsewhere has an address for each peer, too.
type lane struct {
	*site
	// direct leads to the server with no forwarder between them, frontend to
	// what a forwarder publishes.
	direct, frontend path
	// backend is where a forwarder sends what comes to the frontend.
	backend netip.AddrPort
}

// path is how the client speaks to somewhere: the address that it uses for
// itself, and the one that it sends to.
type path struct {
	from netip.Addr
	to   netip.AddrPort
}

// elsewhere says that the backend is not the host itself.
func (l lane) elsewhere() bool { return l.backend.Addr() != l.frontend.to.Addr() }

// moreAddresses gives a device n addresses, the first of them next to one that
// it has. They stay in its subnet for n below 100.
func moreAddresses(ns *lab.Namespace, device string, own netip.Addr, n int) []netip.Addr {
	addresses := make([]netip.Addr, n)
	for i := range addresses {
		own = own.Next()
		ns.Address(device, netip.PrefixFrom(own, subnetBits(own)))
		addresses[i] = own
	}
	return addresses
}

// subnetBits is the length of every subnet's prefix.
func subnetBits(a netip.Addr) int {
	if a.Is6() {
		return 64
	}
	return 24
}

// speak makes what the client sends to the end of a path come from its
// beginning.
func (s *site) speak(p path) {
	to := p.to.Addr()
	links := s.client.Links()
	routes, err := links.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		s.tb.Fatalf("route to %v in %s: %v", to, s.client.Name, err)
	}
	err = links.RouteReplace(&netlink.Route{
		Dst:       &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())},
		LinkIndex: routes[0].LinkIndex,
		Gw:        routes[0].Gw,
		Src:       p.from.AsSlice(),
	})
	if err != nil {
		s.tb.Fatalf("route to %v from %v in %s: %v", to, p.from, s.client.Name, err)
	}
}

// awaitListener waits until the client can connect.
func (s *site) awaitListener(at netip.AddrPort) {
	lab.Eventually(s.tb, 5*time.Second, func() (err error) {
		s.client.Do(func() { err = load.Probe(at) })
		return err
	})
}

// scratch makes a directory that goes with the site.
func (s *site) scratch() string {
	dir, err := os.MkdirTemp("", "xfwd-bench-")
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
	s.tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *site) write(file string, content []byte) {
	if err := os.WriteFile(file, content, 0o600); err != nil {
		s.tb.Fatalf("%v", err)
	}
}
