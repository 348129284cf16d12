// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// A masqueraded client keeps its port, unless it is one that the kernel gives to
// the host's own sockets: then it gets one of the ports that are kept from them. A
// client from a port below 1024 comes from such a port, also where another one has the
// same.
func TestMasqueradePorts(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(1)
	server := site.Servers[0]
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp", "--source", "masquerade"}, backends(server, 30080)...)...)
	site.Host.Sysctl("net.ipv4.ip_local_port_range", "32768 60999")
	site.Client.Join("eth0", 10, 2)
	another := site.Client.Join("eth0", 10, 3)
	site.Host.Join("eth0", 10, 1)
	for _, network := range networks {
		server.Echo(network, ":30080")
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				for _, port := range []uint16{7, 512, 1023, 1024, 5000, 9999, 15000, 32767, 61000, 65535} {
					conn := connectFrom(t, site, network, at(host, 80), port)
					if conn.Client != at(site.HostSide.Of(host), port) {
						t.Errorf("the client's port %d became %v", port, conn.Client)
					}
				}
				for _, port := range []uint16{32768, 40000, 60999} {
					conn := connectFrom(t, site, network, at(host, 80), port)
					if got := conn.Client; got.Addr() != site.HostSide.Of(host) ||
						got.Port() < masqueradeFirst || got.Port() > masqueradeLast {
						t.Errorf("the client's port %d became %v, which is outside of %d–%d",
							port, got, masqueradeFirst, masqueradeLast)
					}
				}
				for port, parts := range map[uint16][2]uint16{1023: {600, 1023}, 512: {600, 1023}, 7: {1, 511}} {
					conn, err := site.Client.Connect(network, at(host, 80), at(another.Of(host), port))
					if err != nil {
						t.Fatalf("another client from port %d: %v", port, err)
					}
					if got := conn.Client.Port(); got == port || got < parts[0] || got > parts[1] {
						t.Errorf("another client's port %d became %d, want one from %d to %d", port, got, parts[0], parts[1])
					}
				}
			})
		}
	}
}

func connectFrom(t *testing.T, site *lab.Site, network string, to netip.AddrPort, port uint16) *lab.Conn {
	t.Helper()
	conn, err := site.Client.Connect(network, to, at(site.ClientAddr.Of(to.Addr()), port))
	if err != nil {
		t.Fatalf("from port %d: %v", port, err)
	}
	mustEcho(t, conn)
	return conn
}

// Two clients with the same port do not meet, nor does a connection of the host's
// own to the backend.
func TestMasqueradedPortsDoNotMeet(t *testing.T) {
	t.Parallel()
	site := lab.New(t).OneArmed(2)
	server, other := site.Servers[0], site.Servers[1]
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp"}, backends(server, 30080)...)...)
	for _, network := range networks {
		server.Echo(network, ":30080")
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				const port = 20000
				first := connectFrom(t, site, network, at(host, 80), port)
				second, err := other.Connect(network, at(host, 80), at(other.Addr.Of(host), port))
				if err != nil {
					t.Fatal(err)
				}
				own := site.Host.MustConnect(network, at(server.Addr.Of(host), 30080))
				seen := map[netip.AddrPort]bool{}
				for _, conn := range []*lab.Conn{first, second, own} {
					mustEcho(t, conn)
					seen[conn.Client] = true
					if conn.Client.Addr() != site.HostSide.Of(host) {
						t.Errorf("the server saw %v as the client", conn.Client)
					}
				}
				if len(seen) != 3 {
					t.Errorf("the server saw %v, want three clients", seen)
				}
			})
		}
	}
}

// When ports to masquerade with have run out, new flows are refused and counted,
// and those that live are not disturbed: none of their ports is used twice.
func TestMasqueradePortsRunOut(t *testing.T) {
	t.Parallel()
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).TwoArmed(1)
			server := site.Servers[0]
			host := map[string]netip.Addr{"IPv4": site.HostAddr.V4, "IPv6": site.HostAddr.V6}[family]
			x := site.Host.XFWD()
			x.MaxFlows = "65536"
			x.Add(append([]string{"80/tcp+udp", "--source", "masquerade"}, backends(server, 30080)...)...)
			server.Echo("udp", ":30080")
			live := site.Client.MustConnect("udp", at(host, 80))
			mustEcho(t, live)

			// Each source port that the kernel might give to an own socket takes one.
			injector := site.Client.Injector("eth0", site.Host, "eth0")
			for port := 32768; port < 61000; port++ {
				// What is injected on the live flow would be answered to its socket.
				if port == int(live.Local().Port()) {
					continue
				}
				injector.Send(site.ClientAddr.Of(host), host,
					&layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 80}, []byte("hello"))
			}
			lab.Eventually(t, 10*lab.Patience, func() error {
				const want = 61000 - 32768 - 1
				counters := x.Counters("80/udp")
				opened, refused := counters.Connections.Opened, counters.Drops["no-source-port"]
				if opened+refused < want || refused == 0 {
					return fmt.Errorf("%d flows and %d refusals of %d datagrams", opened, refused, want)
				}
				return nil
			})
			if opened := x.Counters("80/udp").Connections.Opened; opened > masqueradeLast-masqueradeFirst+1 ||
				opened < (masqueradeLast-masqueradeFirst)*9/10 {
				t.Errorf("%d flows from %d ports", opened, masqueradeLast-masqueradeFirst+1)
			}
			used := map[uint16]bool{}
			for _, flow := range x.Flows() {
				port := flow.Source.Port
				if used[port] || port < masqueradeFirst || port > masqueradeLast {
					t.Errorf("%+v: twice: %v", flow, used[port])
				}
				used[port] = true
			}
			before := live.Client
			mustEcho(t, live)
			if live.Client != before {
				t.Errorf("the flow that lived became %v, was %v", live.Client, before)
			}
			// A port of its own needs none of theirs.
			mustEcho(t, connectFrom(t, site, "udp", at(host, 80), 5000))
		})
	}
}

// The ports are kept from the host's own sockets as long as some forward leads
// elsewhere, where at least a backend that asks for itself is masqueraded. What
// was reserved before stays reserved.
func TestMasqueradePortsAreReserved(t *testing.T) {
	t.Parallel()
	const before, during = "8080,12000-12005,31000-31010", "8080,10000-29999,31000-31010"
	site := lab.New(t).TwoArmed(1)
	site.Host.Sysctl("net.ipv4.ip_local_reserved_ports", before)
	reserved := func(when, want string) {
		t.Helper()
		var text []byte
		site.Host.Do(func() { text, _ = os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports") })
		if got := strings.TrimSpace(string(text)); got != want {
			t.Errorf("%s: %s is reserved, want %s", when, got, want)
		}
	}
	elsewhere := func(port, source string) []string {
		return append([]string{port, "--source", source}, backends(site.Servers[0], 30080)...)
	}
	x := site.Host.XFWD()
	x.Add("80", "30080")
	reserved("none leads elsewhere", before)
	x.Add(elsewhere("81", "masquerade")...)
	reserved("one masquerades", during)
	x.Add(elsewhere("82", "preserve")...)
	x.Do("del", "81")
	reserved("another leads elsewhere", during)
	x.Do("del", "82")
	reserved("none leads elsewhere any more", before)
	x.Add(elsewhere("81", "masquerade")...)
	reserved("one masquerades again", during)
	x.Do("unload")
	reserved("after unload", before)
}
