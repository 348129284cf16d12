// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// A machine at the far end of a tunnel by a tun or tap device (OpenVPN, Tailscale,
// ZeroTier) has a default route of its own, by which its answers to clients would
// go. So it sees an address of this host.
func TestTunnelsAreMasqueraded(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]uint16{"tun": unix.IFF_TUN, "tap": unix.IFF_TAP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			site := &lab.Site{Network: l.Direct()}
			site.Host.Forwarding()
			far := lab.Server{Namespace: l.Namespace("far")}
			tunnel(t, site.Host, far.Namespace, "tunnel0", flags)
			site.HostSide, far.Addr = site.Host.Join("tunnel0", 50, 1), far.Join("tunnel0", 50, 2)
			// Its own way to the client, who expects no answers by it.
			l.Veth(site.Client, "eth9", far.Namespace, "eth0", 1500)
			far.Join("eth0", 51, 2)
			far.DefaultRoutes(site.Client.Join("eth9", 51, 1))

			x := site.Host.XFWD()
			said := notes(x.Add(append([]string{"80/tcp+udp"}, backends(far, 30080)...)...))
			for _, addr := range far.Addr.All() {
				if line := lineWith(said, addr.String()); !strings.Contains(line, "is another machine on tunnel0") {
					t.Errorf("of %v add says %q", addr, line)
				}
			}
			for _, network := range networks {
				far.Echo(network, ":30080")
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, network+" "+family, func(t *testing.T) {
						conn := site.Client.MustConnect(network, at(host, 80))
						mustEcho(t, conn)
						mustBeMasqueraded(t, site, conn)
					})
				}
			}
		})
	}
}

// tunnel joins two namespaces by devices of the same name whose packets a program
// carries from one to the other, as programs of that kind do.
func tunnel(t *testing.T, a, b *lab.Namespace, device string, flags uint16) {
	t.Helper()
	ends := []*os.File{openTunnel(t, a, device, flags), openTunnel(t, b, device, flags)}
	for i, from := range ends {
		to := ends[1-i]
		go func() {
			packet := make([]byte, 1<<16)
			for {
				// It ends with the test, which closes the device.
				n, err := from.Read(packet)
				if err != nil {
					return
				}
				// What the other end is not ready for is lost.
				_, _ = to.Write(packet[:n])
			}
		}()
	}
	for _, ns := range []*lab.Namespace{a, b} {
		ns.Up(device)
	}
}

// openTunnel makes a tun or tap device.
func openTunnel(t *testing.T, ns *lab.Namespace, device string, flags uint16) *os.File {
	t.Helper()
	var end *os.File
	ns.Do(func() {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("/dev/net/tun: %v", err)
		}
		request, err := unix.NewIfreq(device)
		if err == nil {
			request.SetUint16(flags | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			unix.Close(fd)
			t.Fatalf("making %s in %s: %v", device, ns.Name, err)
		}
		// Only now, for the poller wants a device.
		end = os.NewFile(uintptr(fd), device)
	})
	t.Cleanup(func() { end.Close() })
	return end
}
