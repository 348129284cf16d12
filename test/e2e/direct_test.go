// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Clients that talk to the target directly notice nothing, at the same time.
func TestDirectClientsNoticeNothing(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		for family, host := range net.HostAddr.All() {
			within(t, net, network+" "+family, func(t *testing.T) {
				before := net.Client.MustConnect(network, at(host, 30080))
				x.Add("80/"+network, "30080")
				forwarded := net.Client.MustConnect(network, at(host, 80))
				after := net.Client.MustConnect(network, at(host, 30080))
				for range 3 {
					for _, conn := range []*lab.Conn{before, forwarded, after} {
						mustEcho(t, conn)
						mustSee(t, conn)
					}
				}
				if opened := x.Counters("80/" + network).Connections.Opened; opened != 1 {
					t.Errorf("%d connections were counted, want only the forwarded one", opened)
				}
				x.Do("del", "80/"+network)
				mustEcho(t, before)
				mustEcho(t, after)
			})
		}
	}
}

// When one client uses the same source port to the frontend and to the target,
// both connections work, whichever came first; the second gets another source
// port, and the application sees the client's real address on both.
func TestSourcePortCollision(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		for _, order := range []struct {
			name          string
			first, second uint16
		}{{"frontend first", 80, 30080}, {"target first", 30080, 80}} {
			t.Run(network+" "+order.name, func(t *testing.T) {
				t.Parallel()
				net := lab.New(t).Direct()
				net.Host.Echo(network, ":30080")
				net.Host.XFWD().Add("80/tcp+udp", "30080")
				for family, host := range net.HostAddr.All() {
					within(t, net, family, func(t *testing.T) {
						from := at(net.ClientAddr.Of(host), 40000)
						first := collide(t, net, network, at(host, order.first), from)
						second := collide(t, net, network, at(host, order.second), from)
						for range 3 {
							mustEcho(t, first)
							mustEcho(t, second)
						}
						mustSee(t, first)
						if second.Client.Addr() != from.Addr() || second.Client.Port() == from.Port() {
							t.Errorf("the server saw the second connection from %v; its client is %v", second.Client, from)
						}
					})
				}
			})
		}
	}
}

// Collisions that happen at once are told apart, too: each of 100 source ports is
// used to the frontend and to the target at the same time.
func TestSourcePortCollisionsAtOnce(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			const ports = 100
			net := lab.New(t).Direct()
			net.Host.Echo(network, ":30080")
			net.Host.XFWD().Add("80/tcp+udp", "30080")
			var all sync.WaitGroup
			var conns [2 * ports]*lab.Conn
			var failures [2 * ports]error
			for i := range conns {
				all.Go(func() {
					to := at(net.HostAddr.V4, []uint16{80, 30080}[i%2])
					from := at(net.ClientAddr.V4, uint16(40000+i/2))
					if conns[i], failures[i] = net.Client.Connect(network, to, from); failures[i] == nil {
						failures[i] = conns[i].Echo([]byte(to.String()))
					}
				})
			}
			all.Wait()
			seen := map[netip.AddrPort]bool{}
			for i, conn := range conns {
				if failures[i] != nil {
					t.Errorf("from port %d: %v", 40000+i/2, failures[i])
					continue
				}
				mustEcho(t, conn)
				if conn.Client.Addr() != net.ClientAddr.V4 || seen[conn.Client] {
					t.Errorf("the server saw %v, twice: %v", conn.Client, seen[conn.Client])
				}
				seen[conn.Client] = true
			}
		})
	}
}

func collide(t *testing.T, net *lab.Network, network string, to, from netip.AddrPort) *lab.Conn {
	t.Helper()
	conn, err := net.Client.Connect(network, to, from)
	if err != nil {
		t.Fatalf("from %v to %v: %v", from, to, err)
	}
	return conn
}
