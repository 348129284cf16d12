// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// A closed port of a backend elsewhere refuses at once, as if it were the
// frontend's.
func TestClosedPortElsewhereRefuses(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, network+" "+family, func(t *testing.T) {
					start := time.Now()
					_, err := site.Client.Connect(network, at(host, 80), anyPort)
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("%v, want a refusal", err)
					}
					if elapsed := time.Since(start); elapsed > time.Second {
						t.Errorf("the refusal took %v", elapsed)
					}
				})
			}
		}
	})
}

// A client that closes its socket refuses what the backend still sends, and the
// backend's program hears of it.
func TestClientRefusesAnswerFromElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "53/udp", server, 30053)
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, family, func(t *testing.T) {
				answering, client := halfDone(t, site, server, host)
				client.Close()
				if _, err := answering.Write([]byte("answer")); err != nil {
					t.Fatal(err)
				}
				answering.SetReadDeadline(time.Now().Add(lab.Patience))
				if _, err := answering.Read(make([]byte, 100)); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%v, want a refusal", err)
				}
			})
		}
	})
}

// halfDone is a client's socket that has sent a datagram to port 53 of the host,
// and one of the server that answers where it came from.
func halfDone(t *testing.T, site *lab.Site, server lab.Server, host netip.Addr) (answering, client net.Conn) {
	t.Helper()
	listener := server.ListenUDP(at(server.Addr.Of(host), 30053).String())
	conn, err := site.Client.Dial("udp", at(host, 53), anyPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	listener.SetReadDeadline(time.Now().Add(lab.Patience))
	_, from, err := listener.ReadFromUDPAddrPort(make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	// Connected and with the same port, so that the kernel ties errors to it.
	listener.Close()
	connected, err := server.Dial("udp", at(from.Addr().Unmap(), from.Port()), at(server.Addr.Of(host), 30053))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connected.Close() })
	return connected, conn
}

// A packet has lived for one hop more when it leaves.
func TestHopsAreCounted(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			server.Echo(network, ":30080")
		}
		arrived, returned := server.Capture("eth0"), site.Client.Capture("eth0")
		for _, network := range networks {
			for _, host := range site.HostAddr.All() {
				mustEcho(t, site.Client.MustConnect(network, at(host, 80)))
			}
		}
		for name, capture := range map[string]*lab.Capture{"server": arrived, "client": returned} {
			count := 0
			for _, packet := range capture.Stop() {
				if packet.Outgoing || packet.TransportLayer() == nil {
					continue
				}
				count++
				if hops := hopsLeft(packet); hops != 63 {
					t.Errorf("a packet arrives at the %s with %d hops left, want 63: %v", name, hops, packet)
				}
			}
			if count == 0 {
				t.Errorf("nothing arrived at the %s", name)
			}
		}
	})
}

// hopsLeft is the TTL or hop limit of a packet.
func hopsLeft(packet lab.Packet) uint8 {
	switch l := packet.NetworkLayer().(type) {
	case *layers.IPv4:
		return l.TTL
	case *layers.IPv6:
		return l.HopLimit
	}
	return 0
}

// A packet whose hops run out at the host is answered by it, in either direction.
func TestTimeExceededAtTheHost(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "53/udp", server, 30053)
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, family, func(t *testing.T) {
				first, err := site.Client.Dial("udp", at(host, 53), anyPort)
				if err != nil {
					t.Fatal(err)
				}
				defer first.Close()
				answering, client := halfDone(t, site, server, host)
				// Of a flow that does not exist yet, and of both directions of one that does.
				for name, conn := range map[string]net.Conn{"new": first, "client": client, "server": answering} {
					setTTL(t, conn, host, 1)
					if _, err := conn.Write([]byte("too far")); err != nil {
						t.Fatal(err)
					}
					if errno, sender := icmpError(t, conn); errno != syscall.EHOSTUNREACH {
						t.Errorf("%s: %v from %v, want %v", name, errno, sender, syscall.EHOSTUNREACH)
					}
				}
			})
		}
	})
}

// So is one whose hops run out further on: what that router says reaches the
// client's and the server's socket.
func TestTimeExceededBeyondTheHost(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"masquerade", "preserve"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Routed(1500).TwoArmed(0)
			// The server's network is reached by its router alone; the client's by the
			// router that the host has on its side.
			_, server := site.Routers(1500)
			x := site.Host.XFWD()
			x.Add(append([]string{"53/udp", "--source", source}, backends(server, 30053)...)...)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					answering, client := halfDone(t, site, server, host)
					// near, far, the host, the server's router
					setTTL(t, client, host, 4)
					if _, err := client.Write([]byte("too far")); err != nil {
						t.Fatal(err)
					}
					if errno, sender := icmpError(t, client); errno != syscall.EHOSTUNREACH {
						t.Errorf("the client hears %v from %v", errno, sender)
					}
					// the server's router, the host, far
					setTTL(t, answering, host, 3)
					if _, err := answering.Write([]byte("too far")); err != nil {
						t.Fatal(err)
					}
					if errno, sender := icmpError(t, answering); errno != syscall.EHOSTUNREACH {
						t.Errorf("the server hears %v from %v", errno, sender)
					}
				})
			}
		})
	}
}

// tracepath to a frontend finds every hop up to the backend, and the path MTU.
func TestTracepathElsewhere(t *testing.T) {
	t.Parallel()
	lab.Need(t, "tracepath")
	site := lab.New(t).Routed(1400).Containers(1)
	site.Host.XFWD().Add(append([]string{"44444-44500/udp"}, backends(site.Servers[0], 30444)...)...)
	for family, host := range site.HostAddr.All() {
		within(t, site.Network, family, func(t *testing.T) {
			output := site.Client.Run("tracepath", "-n", "-m", "8", "-p", "44444", host.String())
			for _, want := range []string{"pmtu 1400", "reached", "hops 4 back 4"} {
				if !strings.Contains(output, want) {
					t.Errorf("%q is missing in\n%s", want, output)
				}
			}
		})
	}
}

// A datagram without checksum stays without, in both directions, whoever's
// address and port it bears.
func TestUDPWithoutChecksumElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "53/udp", server, 30053)
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, family, func(t *testing.T) {
				atServer, atClient := server.Capture("eth0"), site.Client.Capture("eth0")
				answering, client := halfDone(t, site, server, host)
				for _, conn := range []net.Conn{answering, client} {
					noChecksum(t, conn, host)
					conn.SetDeadline(time.Now().Add(lab.Patience))
				}
				for _, direction := range []struct{ from, to net.Conn }{{client, answering}, {answering, client}} {
					if _, err := direction.from.Write([]byte("without")); err != nil {
						t.Fatal(err)
					}
					if _, err := direction.to.Read(make([]byte, 100)); err != nil {
						t.Fatalf("it did not arrive: %v", err)
					}
				}
				for name, capture := range map[string]*lab.Capture{"server": atServer, "client": atClient} {
					count := 0
					for _, packet := range capture.Stop() {
						udp, ok := packet.TransportLayer().(*layers.UDP)
						if !ok || packet.Outgoing || string(udp.Payload) != "without" {
							continue
						}
						if count++; udp.Checksum != 0 {
							t.Errorf("checksum %#x arrives at the %s: %v", udp.Checksum, name, packet)
						}
					}
					if count != 1 {
						t.Errorf("%d datagrams arrived at the %s, want one", count, name)
					}
				}
			})
		}
	})
}

// Every packet that arrives from us has right checksums, ICMP and what it quotes
// included.
func TestChecksumsElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		site.Offloads(false)
		x := site.Host.XFWD()
		p.publish(x, "80", server, 30080)
		p.publish(x, "53/udp", server, 30053)
		p.publish(x, "81/tcp+udp", server, 30081)
		server.Bulk(":30080")
		server.Echo("udp", ":30053")
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, family, func(t *testing.T) {
				atServer, atClient := server.Capture("eth0"), site.Client.Capture("eth0")
				if err := site.Client.Download(at(host, 80), 100_000); err != nil {
					t.Error(err)
				}
				mustEcho(t, site.Client.MustConnect("udp", at(host, 53)))
				for _, network := range networks {
					site.Client.Connect(network, at(host, 81), anyPort)
				}
				for name, capture := range map[string]*lab.Capture{"server": atServer, "client": atClient} {
					seen := map[string]int{}
					for _, packet := range capture.Stop() {
						if packet.Outgoing {
							continue
						}
						if packet.Unfinished {
							t.Errorf("a checksum is left to the %s's device, whose offload is off: %v", name, packet)
						}
						for _, l := range packet.Layers() {
							seen[l.LayerType().String()]++
						}
						verifyChecksums(t, packet)
					}
					want := []string{"TCP", "UDP"}
					if name == "client" {
						want = append(want, map[string]string{"IPv4": "ICMPv4", "IPv6": "ICMPv6"}[family])
					}
					for _, layer := range want {
						if seen[layer] == 0 {
							t.Errorf("no %s packet arrived at the %s: the test does not test what it says", layer, name)
						}
					}
				}
			})
		}
	})
}
