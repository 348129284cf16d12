// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// bridgedNodePort has netfilter of the host hand what comes to a port of its, TCP and UDP,
// to a port of a container. With masquerade, a container is told that the host asks.
func bridgedNodePort(site *lab.Site, port, target uint16, to lab.Server, masquerade bool) {
	var rules strings.Builder
	for _, family := range []struct {
		nft  string
		addr netip.Addr
	}{{"ip", to.Addr.V4}, {"ip6", to.Addr.V6}} {
		for _, network := range networks {
			fmt.Fprintf(&rules, "add rule %s node prerouting fib daddr type local %s dport %d dnat to %v\n",
				family.nft, network, port, at(family.addr, target))
			if masquerade {
				fmt.Fprintf(&rules, "add rule %s node postrouting %s dport %d %s daddr %v masquerade\n",
					family.nft, network, target, family.nft, family.addr)
			}
		}
	}
	site.Host.Run("nft", nodePortTables+rules.String())
}

// hairpin lets the port of a bridge send back what comes by it.
func hairpin(t *testing.T, host *lab.Namespace, port string) {
	t.Helper()
	link, err := host.Links().LinkByName(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Links().LinkSetHairpin(link, true); err != nil {
		t.Fatal(err)
	}
}

// A container asks its host's frontend, behind which netfilter leads to a container on the
// same bridge, as a NodePort or a port that Docker publishes without its proxy. Where bridged
// packets meet netfilter, the answer goes from port to port, past the bridge's own egress.
func TestAnswersFromPortToPort(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	for _, masquerade := range []bool{false, true} {
		t.Run(fmt.Sprintf("masquerade %v", masquerade), func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Containers(2)
			site.Host.BridgeNetfilter(true)
			asking, answering := site.Servers[0], site.Servers[1]
			bridgedNodePort(site, 30080, 8080, answering, masquerade)
			clients := []*lab.Namespace{asking.Namespace, site.Alone.Namespace}
			if masquerade {
				// It asks for itself by the way of the host.
				hairpin(t, site.Host, "port1")
				clients = append(clients, answering.Namespace)
			}
			x := site.Host.XFWD()
			x.Add("80/tcp+udp", "30080")
			// A frontend that is the target of another one: nothing may be translated twice.
			x.Add("81/tcp+udp", "80")
			x.Add("82/tcp+udp", "30082")
			for _, network := range networks {
				echo(answering.Namespace, answering.Addr, network, 8080)
				echo(site.Host, site.HostSide, network, 30082)
				echo(site.Host, site.HostAddr, network, 30082)
				for family := range site.HostSide.All() {
					within(t, site.Network, network+" "+family, func(t *testing.T) {
						for _, addrs := range []lab.Addresses{site.HostSide, site.HostAddr} {
							host := map[string]netip.Addr{"IPv4": addrs.V4, "IPv6": addrs.V6}[family]
							for _, client := range clients {
								for _, port := range []uint16{30080, 80} {
									mayBeReached(t, client, network, at(host, port), at(answering.Addr.Of(host), 8080))
								}
								mustEcho(t, client.MustConnect(network, at(host, 82)))
							}
						}
					})
				}
			}
		})
	}
}

// mayBeReached asks for a server ten times, with more than one packet each time.
func mayBeReached(t *testing.T, client *lab.Namespace, network string, to, server netip.AddrPort) {
	t.Helper()
	for range 10 {
		conn, err := client.Connect(network, to, anyPort)
		if err != nil {
			t.Fatalf("from %s to %v: %v", client.Name, to, err)
		}
		if err := conn.Echo(make([]byte, 5000)); err != nil {
			t.Errorf("from %s to %v: %v", client.Name, to, err)
		}
		if conn.Server != server {
			t.Errorf("from %s: reached %v", client.Name, conn.Server)
		}
		conn.Close()
	}
}

// A packet of this host leaves by the bridge and by its port, and is translated once, also
// where the port after translation is the target of another forward that the client uses from the
// same port.
func TestBridgeTranslatesOnce(t *testing.T) {
	t.Parallel()
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprintf("bridge-nf-call-iptables %v", filtered), func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Containers(1)
			site.Host.BridgeNetfilter(filtered)
			x := site.Host.XFWD()
			x.Add("81/tcp+udp", "80")
			x.Add("80/tcp+udp", "30080")
			client := site.Servers[0]
			for _, network := range networks {
				for _, port := range []uint16{80, 30080} {
					echo(site.Host, site.HostSide, network, port)
				}
				for family, host := range site.HostSide.All() {
					within(t, site.Network, network+" "+family, func(t *testing.T) {
						for port := uint16(40000); port < 40010; port++ {
							from := at(client.Addr.Of(host), port)
							var conns []*lab.Conn
							for published, target := range map[uint16]uint16{80: 30080, 81: 80} {
								conn, err := client.Connect(network, at(host, published), from)
								if err != nil {
									t.Fatalf("port %d from %v: %v", published, from, err)
								}
								if conn.Server != at(host, target) {
									t.Errorf("port %d reached %v", published, conn.Server)
								}
								conns = append(conns, conn)
							}
							for _, conn := range conns {
								mustEcho(t, conn)
							}
						}
					})
				}
			}
		})
	}
}
