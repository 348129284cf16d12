// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// pair is two hosts with the same forwards, of which one has the addresses that
// clients and backends know.
type pair struct {
	lab         *lab.Lab
	client      *lab.Namespace
	hosts       [2]*lab.Namespace
	xfwd        [2]*lab.XFWD
	behind      *lab.Namespace // has the addresses of all backends
	backends    []lab.Addresses
	front, back lab.Addresses
}

// The subnets of a pair: in both, the shared address is that of machine 100.
const (
	pairFront = 30
	pairBack  = 31
)

// newPair makes a pair whose first host has the addresses.
func newPair(t *testing.T, backends int) *pair {
	t.Helper()
	l := lab.New(t)
	p := &pair{lab: l, client: l.Namespace("client"), behind: l.Namespace("behind")}
	front, back := l.Switch("front"), l.Switch("back")
	front.Plug(p.client, "eth0")
	back.Plug(p.behind, "eth0")
	router := p.client.Join("eth0", pairFront, 2)
	for i := range backends {
		p.backends = append(p.backends, p.behind.Join("eth0", pairBack, 10+i))
	}
	for i := range p.hosts {
		host := l.Namespace([]string{"first", "second"}[i])
		front.Plug(host, "eth0")
		back.Plug(host, "eth1")
		host.Join("eth0", pairFront, 20+i)
		host.Join("eth1", pairBack, 20+i)
		host.Forwarding()
		// The addresses that a host gets later are known by their route.
		host.DefaultRoutes(router)
		p.hosts[i], p.xfwd[i] = host, host.XFWD()
	}
	p.front = p.hosts[0].Join("eth0", pairFront, 100)
	p.back = p.hosts[0].Join("eth1", pairBack, 100)
	p.behind.DefaultRoutes(p.back)
	for i, x := range p.xfwd {
		words := []string{"80/tcp+udp"}
		// The order means nothing.
		for n := range p.backends {
			for _, addr := range p.backends[(n+i)%backends].All() {
				words = append(words, at(addr, 30080).String())
			}
		}
		x.Add(append(words, "--source", "preserve", "--affinity", "1h")...)
	}
	return p
}

// failOver gives the second host the addresses.
func (p *pair) failOver(t *testing.T) {
	t.Helper()
	for device, addrs := range map[string]lab.Addresses{"eth0": p.front, "eth1": p.back} {
		for _, addr := range addrs.All() {
			link, err := p.hosts[0].Links().LinkByName(device)
			if err != nil {
				t.Fatal(err)
			}
			bits := map[bool]int{true: 24, false: 64}[addr.Is4()]
			address, err := netlink.ParseAddr(netip.PrefixFrom(addr, bits).String())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.hosts[0].Links().AddrDel(link, address); err != nil {
				t.Fatalf("taking %v from the first host: %v", addr, err)
			}
			p.hosts[1].Address(device, netip.PrefixFrom(addr, bits))
		}
	}
	forgetNeighbours(t, p.client)
	forgetNeighbours(t, p.behind)
}

// With affinity two hosts choose alike, so connections live on when the addresses go to
// the other one, which has never seen the client.
func TestFailOverWithAffinity(t *testing.T) {
	t.Parallel()
	const clients, each = 8, 4
	p := newPair(t, 4)
	type conversation struct {
		*lab.Conn
		network string
		backend netip.Addr
	}
	var conversations []conversation
	reached := map[netip.Addr]bool{}
	for _, network := range networks {
		for _, addrs := range p.backends {
			echo(p.behind, addrs, network, 30080)
		}
		for client := range clients {
			machine := map[string]int{"tcp": 110, "udp": 130}[network] + client
			from := p.client.Join("eth0", pairFront, machine)
			for _, front := range p.front.All() {
				first := netip.Addr{}
				for port := range each {
					conn, err := p.client.Connect(network, at(front, 80), at(from.Of(front), uint16(40000+port)))
					if err != nil {
						t.Fatal(err)
					}
					backend := conn.Server.Addr()
					if first.IsValid() && backend != first {
						t.Errorf("%s from %v reaches %v, after %v", network, from.Of(front), backend, first)
					}
					first, reached[backend] = backend, true
					conversations = append(conversations, conversation{conn, network, backend})
				}
			}
		}
	}
	// Eight clients of each protocol and family come to four backends by their hashes.
	if len(reached) < 4 {
		t.Errorf("only %d of 8 addresses of backends are reached: the test does not test what it says", len(reached))
	}
	p.failOver(t)
	// What was first comes last, so that the order in which flows are met means nothing.
	for i := len(conversations) - 1; i >= 0; i-- {
		c := conversations[i]
		if err := c.Echo([]byte("after the fail-over")); err != nil {
			t.Errorf("%s from %v to %v: %v", c.network, c.Local(), c.backend, err)
		} else if c.Server.Addr() != c.backend {
			t.Errorf("%s from %v went to %v, and to %v before", c.network, c.Local(), c.Server, c.backend)
		}
	}
}
