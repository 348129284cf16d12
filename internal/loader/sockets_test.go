// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// A reset ends the connection that a tuple names. It leaves the listener alone, whether
// there is such a connection or not.
func TestResetsLeaveListenersAlone(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		inNamespace(t, d, func() error {
			lo, err := netlink.LinkByName("lo")
			return errors.Join(err, netlink.LinkSetUp(lo))
		})
		for _, c := range []struct {
			network string
			address netip.Addr
		}{
			{"tcp4", netip.MustParseAddr("127.0.0.1")}, {"tcp6", netip.IPv6Loopback()},
			// The connections of a listener of both families have IPv4 addresses.
			{"tcp", netip.MustParseAddr("127.0.0.1")},
		} {
			var listener net.Listener
			dial := func() (conn net.Conn, err error) {
				inNamespace(t, d, func() error {
					_, port, _ := net.SplitHostPort(listener.Addr().String())
					conn, err = net.Dial("tcp", net.JoinHostPort(c.address.String(), port))
					return nil
				})
				return conn, err
			}
			inNamespace(t, d, func() (err error) {
				at := net.JoinHostPort(c.address.String(), "0")
				if c.network == "tcp" {
					at = ":0"
				}
				// The kernel spares listeners of MPTCP, which Go's are by default.
				var plain net.ListenConfig
				plain.SetMultipathTCP(false)
				listener, err = plain.Listen(t.Context(), c.network, at)
				return err
			})
			defer listener.Close()
			client, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			tuple := maps.Tuple{
				Source:      client.LocalAddr().(*net.TCPAddr).AddrPort(),
				Destination: client.RemoteAddr().(*net.TCPAddr).AddrPort(),
				Protocol:    unix.IPPROTO_TCP,
			}
			unknown := tuple
			unknown.Source = netip.AddrPortFrom(c.address, 1)
			if err := d.ResetSockets([]maps.Tuple{unknown, tuple}); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("%s %v: the client of a connection that was reset reads %d bytes, %v", c.network, c.address, n, err)
			}
			again, err := dial()
			if err != nil {
				t.Errorf("%s %v: the listener does not listen any more: %v", c.network, c.address, err)
				continue
			}
			again.Close()
		}
	})
}
