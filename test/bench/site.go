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
	// direct is where the client reaches the server with no forwarder between
	// them, frontend what a forwarder publishes, backend where it sends that.
	direct, frontend, backend netip.AddrPort
	// clients are addresses of the client, one for each peer.
	clients []netip.Addr
	// cpus are the processors of server and forwarder.
	cpus unix.CPUSet
}

// clientAddresses gives the client n addresses on a device, the first of them
// next to one that it has. They stay in its subnet for n below 100.
func clientAddresses(client *lab.Namespace, device string, own netip.Addr, n int) []netip.Addr {
	addresses := make([]netip.Addr, n)
	bits := 24
	if own.Is6() {
		bits = 64
	}
	for i := range addresses {
		own = own.Next()
		client.Address(device, netip.PrefixFrom(own, bits))
		addresses[i] = own
	}
	return addresses
}

// speakAs makes what the client sends to an address come from one of its own.
// A peer that shares none with another has all ports for itself. Otherwise a
// connection through a translator could meet, at the server, what a direct one
// from the same port left there in TIME_WAIT: its sequence numbers and time
// stamps need not fit, and then the handshake takes a second.
func (s *site) speakAs(source, to netip.Addr) {
	links := s.client.Links()
	routes, err := links.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		s.tb.Fatalf("route to %v in %s: %v", to, s.client.Name, err)
	}
	err = links.RouteReplace(&netlink.Route{
		Dst:       &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())},
		LinkIndex: routes[0].LinkIndex,
		Gw:        routes[0].Gw,
		Src:       source.AsSlice(),
	})
	if err != nil {
		s.tb.Fatalf("route to %v from %v in %s: %v", to, source, s.client.Name, err)
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
