// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// ownAddresses are those by which a host reaches itself.
func ownAddresses(net *lab.Network) map[string]netip.Addr {
	return map[string]netip.Addr{
		"127.0.0.1":    netip.MustParseAddr("127.0.0.1"),
		"::1":          netip.IPv6Loopback(),
		"IPv4 address": net.HostAddr.V4,
		"IPv6 address": net.HostAddr.V6,
	}
}

// The host's own connections are forwarded as well, and getpeername tells the
// program the address that it asked for.
func TestOwnConnections(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		for name, own := range ownAddresses(net) {
			within(t, net, network+" "+name, func(t *testing.T) {
				to := at(own, 80)
				conn := net.Host.MustConnect(network, to)
				mustEcho(t, conn)
				mustSee(t, conn)
				if got := peer(t, conn.Conn); got != to {
					t.Errorf("getpeername says %v, the program asked for %v", got, to)
				}
			})
		}
	}
}

// The host's own connections to an address that is routed to it, or that a
// target has, are forwarded too.
func TestOwnConnectionsToExplicitAddresses(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for _, vip := range net.VIP.All() {
		host := net.HostAddr.Of(vip)
		x.Add(frontend(vip, "80/tcp+udp"), "30080")
		x.Add(frontend(vip, "81/tcp+udp"), at(host, 30080).String())
	}
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		for family, vip := range net.VIP.All() {
			for _, port := range []uint16{80, 81} {
				within(t, net, network+" "+family+" "+at(vip, port).String(), func(t *testing.T) {
					conn := net.Host.MustConnect(network, at(vip, port))
					mustEcho(t, conn)
					if got := peer(t, conn.Conn); got != at(vip, port) {
						t.Errorf("getpeername says %v, the program asked for %v", got, at(vip, port))
					}
				})
			}
		}
	}
}

// An unconnected UDP socket of the host gets its answers from the address that
// it sent to.
func TestOwnUnconnectedUDP(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("53/udp", "30053")
	net.Host.Echo("udp", ":30053")
	for name, own := range ownAddresses(net) {
		for _, local := range []netip.Addr{own, netip.IPv6Unspecified()} {
			within(t, net, name+" from "+local.String(), func(t *testing.T) {
				to := at(own, 53)
				socket := net.Host.ListenUDP(at(local, 0).String())
				for range 3 {
					if _, err := socket.WriteToUDPAddrPort([]byte("question"), to); err != nil {
						t.Fatal(err)
					}
					socket.SetReadDeadline(time.Now().Add(lab.Patience))
					_, from, err := socket.ReadFromUDPAddrPort(make([]byte, 1000))
					if err != nil {
						t.Fatal(err)
					}
					if from := at(from.Addr().Unmap(), from.Port()); from != to {
						t.Errorf("the answer came from %v, the program asked %v", from, to)
					}
				}
			})
		}
	}
}

// An IPv6 socket that connects to an IPv4 address written as IPv6, as Java's do,
// is forwarded like any other.
func TestOwnConnectionByMappedAddress(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	for network, kind := range map[string]int{"tcp": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM} {
		net.Host.Echo(network, ":30080")
		for _, own := range []string{"127.0.0.1", net.HostAddr.V4.String()} {
			within(t, net, network+" "+own, func(t *testing.T) {
				asked := unix.SockaddrInet6{Port: 80, Addr: netip.MustParseAddr("::ffff:" + own).As16()}
				net.Host.Do(func() {
					fd, err := unix.Socket(unix.AF_INET6, kind, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer unix.Close(fd)
					if err := unix.Connect(fd, &asked); err != nil {
						t.Fatal(err)
					}
					timeout := unix.NsecToTimeval(lab.Patience.Nanoseconds())
					unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
					if _, err := unix.Write(fd, []byte("hello")); err != nil {
						t.Fatal(err)
					}
					if _, err := unix.Read(fd, make([]byte, 1000)); err != nil {
						t.Errorf("no answer: %v", err)
					}
					name, err := unix.Getpeername(fd)
					if name6, ok := name.(*unix.SockaddrInet6); !ok || name6.Addr != asked.Addr || name6.Port != asked.Port {
						t.Errorf("getpeername says %+v %v, the program asked for %+v", name, err, asked)
					}
				})
			})
		}
	}
}

// curl localhost:80 is forwarded.
func TestCurlLocalhost(t *testing.T) {
	t.Parallel()
	lab.Need(t, "curl", "nginx")
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80", "30080")
	startNginx(t, net.Host, 30080)
	for _, url := range []string{"localhost", "127.0.0.1", "[::1]", net.HostAddr.V4.String(), "[" + net.HostAddr.V6.String() + "]"} {
		if page := net.Host.Run("curl", "-sS", "--noproxy", "*", "--max-time", "3", "http://"+url+":80/"); !strings.Contains(page, nginxPage) {
			t.Errorf("%s answered %q", url, page)
		}
	}
}

// A target that nobody serves refuses the host's own connections at once.
func TestOwnConnectionsAreRefused(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	for _, network := range networks {
		for name, own := range ownAddresses(net) {
			_, err := net.Host.Connect(network, at(own, 80), anyPort)
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s %s: %v, want a refusal", network, name, err)
			}
		}
	}
}

// Own connections to other machines, and to ports that no forward has, are left
// alone, whatever their port.
func TestOwnConnectionsElsewhere(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		net.Host.Echo(network, ":81")
		net.Client.Echo(network, ":80")
		for _, client := range net.ClientAddr.All() {
			for _, to := range []netip.AddrPort{at(client, 80), at(net.HostAddr.Of(client), 81)} {
				conn := net.Host.MustConnect(network, to)
				mustEcho(t, conn)
				mustSee(t, conn)
				if conn.Server.Port() != to.Port() {
					t.Errorf("%s: %v was asked for, %v answered", network, to, conn.Server)
				}
			}
		}
	}
}

// Processes of another network namespace are not affected: their localhost is
// theirs.
func TestOtherNamespacesKeepTheirLocalhost(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("80/tcp+udp", "30080")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		net.Client.Echo(network, ":30080")
		own := netip.MustParseAddr("127.0.0.1")
		for _, own := range []netip.Addr{own, netip.IPv6Loopback(), net.ClientAddr.V4, net.ClientAddr.V6} {
			_, err := net.Client.Connect(network, at(own, 80), anyPort)
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: port 80 of another namespace's %v: %v, want a refusal", network, own, err)
			}
		}
		net.Client.Echo(network, ":80")
		if conn := net.Client.MustConnect(network, at(own, 80)); conn.Server.Port() != 80 {
			t.Errorf("%s: another namespace's port 80 reached %v", network, conn.Server)
		}
	}
}

// A forward of a loopback address is for own connections.
func TestLoopbackFrontend(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("127.0.0.1:8080/tcp+udp", "30080")
	x.Add("[::1]:8080/tcp+udp", "30080")
	x.Add("8081/tcp+udp", "30080", "--device", "lo")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		for _, loopback := range []string{"127.0.0.1", "::1"} {
			for _, port := range []uint16{8080, 8081} {
				mustEcho(t, net.Host.MustConnect(network, at(netip.MustParseAddr(loopback), port)))
			}
		}
		for _, host := range net.HostAddr.All() {
			for _, port := range []uint16{8080, 8081} {
				_, err := net.Client.Connect(network, at(host, port), anyPort)
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s %v from outside: %v, want a refusal", network, at(host, port), err)
				}
			}
			mustEcho(t, net.Host.MustConnect(network, at(host, 8081)))
		}
	}
}
