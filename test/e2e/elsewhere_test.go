// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// place is where a backend is that is not the host itself.
type place struct {
	name string
	site func(*lab.Lab) (*lab.Site, lab.Server)
	// flags are those with which it must be added.
	flags []string
	// kept says that the backend sees its clients' addresses.
	kept bool
}

// places are all kinds of them.
var places = []place{
	{"two-armed", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(1)
		return site, site.Servers[0]
	}, []string{"--source", "masquerade"}, false},
	{"two-armed with the host as router", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(1)
		site.ThroughHost()
		return site, site.Servers[0]
	}, []string{"--source", "preserve"}, true},
	{"one-armed", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.OneArmed(1)
		return site, site.Servers[0]
	}, nil, false},
	{"container on a bridge", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Containers(1)
		return site, site.Servers[0]
	}, nil, true},
	{"container on a veth", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Containers(0)
		return site, site.Alone
	}, nil, true},
}

// everywhere runs a test for a backend in each kind of place, all at once.
func everywhere(t *testing.T, test func(*testing.T, place, *lab.Site, lab.Server)) {
	t.Helper()
	t.Parallel()
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			site, server := p.site(lab.New(t))
			test(t, p, site, server)
		})
	}
}

// publish forwards ports of the host to a port of a server, in both families.
func (p place) publish(x *lab.XFWD, ports string, server lab.Server, port uint16) {
	args := append([]string{ports}, backends(server, port)...)
	x.Add(append(args, p.flags...)...)
}

// backends writes a port of a server, in both families, as xfwd takes them.
func backends(server lab.Server, port uint16) (words []string) {
	for _, addr := range server.Addr.All() {
		words = append(words, at(addr, port).String())
	}
	return words
}

// echo serves a port at each address, so that a client is told by which it came.
func echo(ns *lab.Namespace, addrs lab.Addresses, network string, port uint16) {
	for _, addr := range addrs.All() {
		ns.Echo(network, at(addr, port).String())
	}
}

// mustSee fails the test unless the server saw the client's real address, or, if
// it is not kept, the host's on the way to the server.
func (p place) mustSee(t *testing.T, site *lab.Site, conn *lab.Conn) {
	t.Helper()
	if p.kept {
		mustSee(t, conn)
	} else {
		mustBeMasqueraded(t, site, conn)
	}
}

// mustBeMasqueraded fails the test unless the server saw the host's address as
// the client's, with a port that is none of the host's own sockets.
func mustBeMasqueraded(t *testing.T, site *lab.Site, conn *lab.Conn) {
	t.Helper()
	if want := site.HostSide.Of(conn.Client.Addr()); conn.Client.Addr() != want {
		t.Errorf("the server saw %v as the client, want the host's %v", conn.Client, want)
	}
	if port := conn.Client.Port(); port != conn.Local().Port() && (port < masqueradeFirst || port > masqueradeLast) {
		t.Errorf("the server saw port %d, which is neither the client's nor one to masquerade with", port)
	}
}

// The ports that masqueraded flows are given.
const masqueradeFirst, masqueradeLast = 10000, 29999

// A backend that is not this host is reached, over TCP and UDP, and sees the
// client's address wherever its answers come back through the host.
func TestBackendElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		x := site.Host.XFWD()
		p.publish(x, "80/tcp+udp", server, 30080)
		for _, network := range networks {
			echo(server.Namespace, server.Addr, network, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, network+" "+family, func(t *testing.T) {
					for range 5 {
						conn := site.Client.MustConnect(network, at(host, 80))
						mustEcho(t, conn)
						p.mustSee(t, site, conn)
						if want := at(server.Addr.Of(host), 30080); conn.Server != want {
							t.Errorf("reached %v, want %v", conn.Server, want)
						}
					}
				})
			}
			if opened := x.Counters("80/" + network).Connections.Opened; opened != 10 {
				t.Errorf("%s: %d connections were counted, want 10", network, opened)
			}
		}
	})
}

// 100 MB arrive as they were sent, in both directions, with offloads on and off.
func TestBulkContentElsewhere(t *testing.T) {
	size := uint64(100_000_000)
	if os.Getenv("XFWD_VM") != "" {
		size /= 10 // an emulated processor takes minutes as it is
	}
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
				site.Offloads(offloads)
				server.Bulk(":30080")
				p.publish(site.Host.XFWD(), "80", server, 30080)
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, family, func(t *testing.T) {
						if err := site.Client.Upload(at(host, 80), size); err != nil {
							t.Errorf("to the server: %v", err)
						}
						if err := site.Client.Download(at(host, 80), size); err != nil {
							t.Errorf("to the client: %v", err)
						}
					})
				}
			})
		})
	}
}

// Datagrams of every length come back as they were sent, with offloads on and
// off.
func TestDatagramContentElsewhere(t *testing.T) {
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
				site.Offloads(offloads)
				server.Echo("udp", ":30053")
				p.publish(site.Host.XFWD(), "53/udp", server, 30053)
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, family, func(t *testing.T) {
						conn := site.Client.MustConnect("udp", at(host, 53))
						payload := make([]byte, 1300)
						rand.NewChaCha8([32]byte{}).Read(payload)
						for size := range payload {
							if err := conn.Echo(payload[:size]); err != nil {
								t.Fatalf("%d bytes: %v", size, err)
							}
						}
					})
				}
			})
		})
	}
}

// Backends on this host, in containers and on other machines serve one frontend
// together, and each sees what it is to see.
func TestHereAndElsewhereBehindOneFrontend(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	far := site.Network.TwoArmed(1)
	machine := far.Servers[0]
	// It leads further, so that it is no container to the host.
	site.Host.Route(netip.MustParsePrefix("203.0.113.0/24"), machine.Addr.V4)
	site.Host.Route(netip.MustParsePrefix("2001:db8:113::/48"), machine.Addr.V6)

	words := []string{"80/tcp+udp", "30080"}
	for _, server := range []lab.Server{site.Servers[0], site.Alone, machine} {
		words = append(words, backends(server, 30080)...)
	}
	site.Host.XFWD().Add(words...)
	for _, network := range networks {
		for _, server := range []lab.Server{{Namespace: site.Host, Addr: site.HostAddr}, site.Servers[0], site.Alone, machine} {
			echo(server.Namespace, server.Addr, network, 30080)
		}
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				reached := map[netip.Addr]int{}
				for range 80 {
					conn := site.Client.MustConnect(network, at(host, 80))
					mustEcho(t, conn)
					server := conn.Server.Addr()
					reached[server]++
					if server == machine.Addr.Of(server) {
						mustBeMasqueraded(t, far, conn)
					} else {
						mustSee(t, conn)
					}
				}
				if len(reached) != 4 {
					t.Errorf("80 connections reached %v, want all four backends", reached)
				}
			})
		}
	}
}
