// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
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

func collide(t *testing.T, net *lab.Network, network string, to, from netip.AddrPort) *lab.Conn {
	t.Helper()
	conn, err := net.Client.Connect(network, to, from)
	if err != nil {
		t.Fatalf("from %v to %v: %v", from, to, err)
	}
	return conn
}
