// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// narrow is a network with 1400 bytes on the way between client and server.
type narrow struct {
	name string
	make func(*lab.Lab) (*lab.Site, lab.Server)
	// flags are those of `xfwd add`.
	flags []string
}

func (n narrow) publish(x *lab.XFWD, ports string, server lab.Server, port uint16) {
	// Nobody would have to be told if the ends did not say what they take.
	flags := append(slices.Clone(n.flags), "--mss", "off")
	place{flags: flags}.publish(x, ports, server, port)
}

// narrowToServer are those where the host must tell the client.
var narrowToServer = []narrow{
	{"device towards a container", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Containers(0)
		site.Host.MTU("pod0", 1400)
		return site, site.Alone
	}, nil},
	{"device towards a machine, masqueraded", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(1)
		site.Host.MTU("eth1", 1400)
		return site, site.Servers[0]
	}, []string{"--source", "masquerade"}},
	{"bridge towards a container", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Containers(1)
		site.Host.MTU("br0", 1400)
		return site, site.Servers[0]
	}, nil},
	{"router further on, masqueraded", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(0)
		_, far := site.Routers(1400)
		return site, far
	}, nil},
	{"router further on, client's address kept", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(0)
		_, far := site.Routers(1400)
		return site, far
	}, []string{"--source", "preserve"}},
}

// narrowToClient are those where the server must be told.
var narrowToClient = []narrow{
	{"device towards the client, container", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Containers(0)
		site.Host.MTU("eth0", 1400)
		return site, site.Alone
	}, nil},
	{"device towards the client, machine", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.TwoArmed(1)
		site.Host.MTU("eth0", 1400)
		return site, site.Servers[0]
	}, []string{"--source", "masquerade"}},
	{"router towards the client, container", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Routed(1400).Containers(1)
		return site, site.Servers[0]
	}, nil},
	{"router towards the client, machine", func(l *lab.Lab) (*lab.Site, lab.Server) {
		site := l.Routed(1400).TwoArmed(1)
		return site, site.Servers[0]
	}, []string{"--source", "masquerade"}},
}

// TCP finds out about a smaller MTU on the way to the server: the client hears of
// it as a matter between it and the frontend.
func TestPathMTUToServerElsewhere(t *testing.T) {
	t.Parallel()
	for _, n := range narrowToServer {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			site, server := n.make(lab.New(t))
			server.Bulk(":30080")
			n.publish(site.Host.XFWD(), "80", server, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					capture := site.Client.Capture("eth0")
					if err := site.Client.Upload(at(host, 80), 3_000_000); err != nil {
						t.Error(err)
					}
					quotes := lab.TooBig(capture.Stop())
					if len(quotes) == 0 {
						t.Error("nobody said that a packet is too big")
					}
					for _, quote := range quotes {
						if quote != at(host, 80) {
							t.Errorf("the client heard of a packet to %v, it sent to %v", quote, at(host, 80))
						}
					}
				})
			}
		})
	}
}

// So does the server on the way to the client.
func TestPathMTUToClientElsewhere(t *testing.T) {
	t.Parallel()
	for _, n := range narrowToClient {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			site, server := n.make(lab.New(t))
			server.Bulk(":30080")
			n.publish(site.Host.XFWD(), "80", server, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					capture := server.Capture("eth0")
					if err := site.Client.Download(at(host, 80), 3_000_000); err != nil {
						t.Error(err)
					}
					quotes := lab.TooBig(capture.Stop())
					if len(quotes) == 0 {
						t.Error("nobody said that a packet is too big")
					}
					mine := map[netip.Addr]bool{site.ClientAddr.Of(host): true, site.HostSide.Of(host): true}
					for _, quote := range quotes {
						if !mine[quote.Addr()] {
							t.Errorf("the server heard of a packet to %v, it sent none there", quote)
						}
					}
				})
			}
		})
	}
}

// A program that discovers the path MTU of UDP is told it, in both directions.
func TestDatagramPathMTUElsewhere(t *testing.T) {
	t.Parallel()
	const tooLong = 1440 // fits 1500 bytes with either header, but not 1400
	for _, n := range narrowToServer {
		t.Run("to the server: "+n.name, func(t *testing.T) {
			t.Parallel()
			site, server := n.make(lab.New(t))
			server.Echo("udp", ":30053")
			n.publish(site.Host.XFWD(), "53/udp", server, 30053)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					conn := site.Client.MustConnect("udp", at(host, 53))
					discoverMTU(t, conn.Conn, host)
					if _, err := conn.Write(make([]byte, tooLong)); err != nil {
						t.Fatal(err)
					}
					mustLearnMTU(t, conn.Conn, host, 1400)
				})
			}
		})
	}
	for _, n := range narrowToClient {
		t.Run("to the client: "+n.name, func(t *testing.T) {
			t.Parallel()
			site, server := n.make(lab.New(t))
			n.publish(site.Host.XFWD(), "53/udp", server, 30053)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					answering, _ := halfDone(t, site, server, host)
					discoverMTU(t, answering, host)
					if _, err := answering.Write(make([]byte, tooLong)); err != nil {
						t.Fatal(err)
					}
					mustLearnMTU(t, answering, host, 1400)
				})
			}
		})
	}
}

// discoverMTU has a socket send nothing in fragments.
func discoverMTU(t *testing.T, conn any, family netip.Addr) {
	t.Helper()
	if family.Is4() {
		setOption(t, conn, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		return
	}
	setOption(t, conn, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
}

// mustLearnMTU fails the test unless the kernel comes to know the path MTU of a
// connected socket.
func mustLearnMTU(t *testing.T, conn any, family netip.Addr, want int) {
	t.Helper()
	level, name := unix.IPPROTO_IP, unix.IP_MTU
	if family.Is6() {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	lab.Eventually(t, lab.Patience, func() error {
		got := 0
		onSocket(t, conn, func(fd int) (err error) {
			got, err = unix.GetsockoptInt(fd, level, name)
			return err
		})
		if got != want {
			return fmt.Errorf("the kernel believes in a path MTU of %d, want %d", got, want)
		}
		return nil
	})
}
