// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A backend that connects to its own frontend reaches a backend: itself, where
// it is the only one.
func TestBackendReachesItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			echo(server.Namespace, server.Addr, network, 30080)
			for family, host := range site.HostSide.All() {
				within(t, site.Network, network+" "+family, func(t *testing.T) {
					for range 3 {
						conn := server.MustConnect(network, at(host, 80))
						mustEcho(t, conn)
						if conn.Server != at(server.Addr.Of(host), 30080) {
							t.Errorf("reached %v", conn.Server)
						}
						if conn.Client.Addr() == server.Addr.Of(host) {
							t.Error("the server saw itself as the client, and would have answered itself")
						}
					}
				})
			}
		}
	})
}

// So does its sibling, and any client on the backends' own network.
func TestClientOnTheBackendsNetwork(t *testing.T) {
	t.Parallel()
	for name, topology := range map[string]func(*lab.Lab) *lab.Site{
		"two-armed":  func(l *lab.Lab) *lab.Site { return l.TwoArmed(3) },
		"one-armed":  func(l *lab.Lab) *lab.Site { return l.OneArmed(3) },
		"containers": func(l *lab.Lab) *lab.Site { return l.Containers(3) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := topology(lab.New(t))
			words := []string{"80/tcp+udp"}
			for _, server := range site.Servers[:2] {
				words = append(words, backends(server, 30080)...)
			}
			x := site.Host.XFWD()
			x.Add(words...)
			for _, network := range networks {
				for _, server := range site.Servers {
					echo(server.Namespace, server.Addr, network, 30080)
				}
				for family, host := range site.HostSide.All() {
					within(t, site.Network, network+" "+family, func(t *testing.T) {
						for i, client := range site.Servers {
							reached := map[string]bool{}
							for range 20 {
								conn := client.MustConnect(network, at(host, 80))
								mustEcho(t, conn)
								mustBeMasqueraded(t, site, conn)
								reached[conn.Server.Addr().String()] = true
							}
							if len(reached) != 2 {
								t.Errorf("server %d reached %v, want both backends", i, reached)
							}
						}
					})
				}
			}
		})
	}
}

// A container uses what another container offers, whatever device each is on.
func TestContainerReachesContainer(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	x := site.Host.XFWD()
	for i, backend := range []lab.Server{site.Servers[0], site.Alone} {
		client := []lab.Server{site.Alone, site.Servers[0]}[i]
		port := uint16(80 + i)
		x.Add(append([]string{fmt.Sprintf("%d/tcp+udp", port)}, backends(backend, 30080)...)...)
		for _, network := range networks {
			echo(backend.Namespace, backend.Addr, network, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, fmt.Sprintf("%s %s %d", network, family, port), func(t *testing.T) {
					conn := client.MustConnect(network, at(host, port))
					mustEcho(t, conn)
					// They are on different networks, between which the host is the router.
					mustSee(t, conn)
				})
			}
		}
	}
}

// The host itself reaches the backend by its own frontend, and a program sees the
// address that it asked for as its peer.
func TestHostReachesBackendElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			echo(server.Namespace, server.Addr, network, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, network+" "+family, func(t *testing.T) {
					conn := site.Host.MustConnect(network, at(host, 80))
					mustEcho(t, conn)
					if conn.Server != at(server.Addr.Of(host), 30080) {
						t.Errorf("reached %v", conn.Server)
					}
					if got := peer(t, conn.Conn); got != at(host, 80) {
						t.Errorf("getpeername says %v, the program asked for %v", got, at(host, 80))
					}
				})
			}
		}
	})
}
