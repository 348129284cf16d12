// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// What this host asks others is answered to itself, also if its ports are published:
// those that the kernel gives, nearly all ports, and one that a program insists on.
func TestPublishedPortsLeaveOwnQuestionsAlone(t *testing.T) {
	t.Parallel()
	for _, published := range [][]string{{"49152-65535/tcp+udp"}, {"1-65535/tcp+udp", "22/tcp+udp"}} {
		t.Run(published[0], func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Containers(1)
			x := site.Host.XFWD()
			for _, network := range networks {
				site.Client.Echo(network, ":53")
				site.Servers[0].Echo(network, ":8080")
			}
			x.Add(append([]string{published[0]}, backends(site.Servers[0], 8080)...)...)
			for _, more := range published[1:] {
				x.Add(more, "22")
			}
			for _, network := range networks {
				for family, client := range site.ClientAddr.All() {
					within(t, site.Network, network+" "+family, func(t *testing.T) {
						for range 20 {
							conn := site.Host.MustConnect(network, at(client, 53))
							mustEcho(t, conn)
							conn.Close()
						}
						fixed, err := site.Host.Connect(network, at(client, 53), at(site.HostAddr.Of(client), 60123))
						if err != nil {
							t.Fatal(err)
						}
						mustEcho(t, fixed)
						// Clients are served as ever.
						conn := connectFrom(t, site, network, at(site.HostAddr.Of(client), 50000), 40000)
						if conn.Client.Addr() != client {
							t.Errorf("the backend saw %v", conn.Client)
						}
					})
				}
			}
		})
	}
}

// A socket without a peer, such as that of a time server that asks others, gets what
// it has asked for.
func TestPublishedPortLeavesSocketsWithoutPeerAlone(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	x := site.Host.XFWD()
	site.Client.Echo("udp", ":123")
	own := site.Host.ListenUDP(":123")
	x.Add(append([]string{"123/udp"}, backends(site.Servers[0], 123)...)...)
	for family, client := range site.ClientAddr.All() {
		within(t, site.Network, family, func(t *testing.T) {
			for range 3 {
				if _, err := own.WriteToUDPAddrPort([]byte("what time is it?"), at(client, 123)); err != nil {
					t.Fatal(err)
				}
				mustHear(t, own)
			}
		})
	}
}

// Machines behind this host that netfilter masquerades get their answers.
func TestPublishedPortsLeaveMasqueradedNetworksAlone(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	site := lab.New(t).Containers(2)
	inside := site.Servers[0]
	site.Host.Run("nft", `
table inet lan {
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "eth0" masquerade
	}
}`)
	x := site.Host.XFWD()
	for _, network := range networks {
		site.Client.Echo(network, ":443")
		site.Servers[1].Echo(network, ":8080")
	}
	before := map[string]*lab.Conn{}
	for _, network := range networks {
		for family, client := range site.ClientAddr.All() {
			before[network+" "+family] = inside.MustConnect(network, at(client, 443))
		}
	}
	x.Add(append([]string{"32768-56000/tcp+udp"}, backends(site.Servers[1], 8080)...)...)
	for _, network := range networks {
		for family, client := range site.ClientAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				mustEcho(t, before[network+" "+family])
				for port := uint16(40000); port < 40010; port++ {
					conn, err := inside.Connect(network, at(client, 443), at(inside.Addr.Of(client), port))
					if err != nil {
						t.Fatal(err)
					}
					mustEcho(t, conn)
				}
			})
		}
	}
}

// Sessions that exist when their port is published live on, of a process and through a
// rule of netfilter; new ones go to the backend.
func TestSessionsFromBeforeLiveOn(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	site := lab.New(t).Containers(1)
	x := site.Host.XFWD()
	site.Host.Run("nft", `
table inet nat {
	chain prerouting {
		type nat hook prerouting priority dstnat
		meta l4proto { tcp, udp } th dport 8022 redirect to :2022
	}
}`)
	// A machine that is slow takes half a minute to publish, after which netfilter forgets.
	site.Host.Sysctl("net.netfilter.nf_conntrack_udp_timeout", "300")
	for _, network := range networks {
		for _, port := range []string{":2022", ":2222"} {
			site.Host.Echo(network, port)
		}
	}
	site.Host.Echo("tcp", ":22")
	type session struct {
		*lab.Conn
		network string
		to      netip.AddrPort
	}
	var sessions []session
	for family, host := range site.HostAddr.All() {
		for _, s := range []struct {
			network string
			port    uint16
		}{{"tcp", 22}, {"tcp", 8022}, {"udp", 8022}} {
			conn := site.Client.MustConnect(s.network, at(host, s.port))
			for range 2 {
				mustEcho(t, conn)
			}
			sessions = append(sessions, session{conn, s.network + " " + family, at(host, s.port)})
		}
		// A connected UDP socket of the host, the other end of which is not.
		other := site.Client.ListenUDP(netip.AddrPortFrom(site.ClientAddr.Of(host), 5000).String())
		conn, err := site.Host.Dial("udp", at(site.ClientAddr.Of(host), 5000), at(host, 22))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := other.WriteToUDPAddrPort([]byte("news"), at(host, 22)); err != nil {
				t.Fatal(err)
			}
			mustHear(t, conn)
		}()
	}
	for _, port := range []string{"22", "8022"} {
		x.Add(port+"/tcp+udp", "2222")
	}
	for _, s := range sessions {
		t.Log(s.network, s.to)
		mustEcho(t, s.Conn)
	}
	for _, network := range networks {
		for family, host := range site.HostAddr.All() {
			for _, port := range []uint16{22, 8022} {
				within(t, site.Network, network+" "+family, func(t *testing.T) {
					conn := site.Client.MustConnect(network, at(host, port))
					mustEcho(t, conn)
				})
			}
		}
	}
	for _, port := range []string{"22", "8022"} {
		for _, network := range networks {
			if opened := x.Counters(port + "/" + network).Connections.Opened; opened != 2 {
				t.Errorf("%s/%s has %d new connections, want 2", port, network, opened)
			}
		}
	}
}

// Connections that netfilter masquerades to a backend, or the host has to it, and
// masqueraded flows to it from the same port, whichever is first.
func TestMasqueradedFlowsBesideNetfilter(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	site := lab.New(t).TwoArmed(1)
	server := site.Servers[0]
	site.Host.Run("nft", `
table inet nodeport {
	chain prerouting {
		type nat hook prerouting priority dstnat
		meta nfproto ipv4 meta l4proto { tcp, udp } th dport 30080 dnat ip to `+server.Addr.V4.String()+`:8080
		meta nfproto ipv6 meta l4proto { tcp, udp } th dport 30080 dnat ip6 to [`+server.Addr.V6.String()+`]:8080
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "`+site.Device+`" masquerade
	}
}`)
	x := site.Host.XFWD()
	for _, network := range networks {
		server.Echo(network, ":8080")
	}
	x.Add(append([]string{"80/tcp+udp", "--source", "masquerade"}, backends(server, 8080)...)...)
	for _, network := range networks {
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				seen := map[netip.AddrPort]bool{}
				var all []*lab.Conn
				for i, order := range [][]uint16{{80, 30080}, {30080, 80}} {
					for _, port := range order {
						all = append(all, connectFrom(t, site, network, at(host, port), uint16(20000+i)))
					}
				}
				own := at(site.HostSide.Of(host), 20002)
				all = append(all, connectFrom(t, site, network, at(host, 80), 20002))
				conn, err := site.Host.Connect(network, at(server.Addr.Of(host), 8080), own)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, conn)
				for range 2 {
					for _, conn := range all {
						mustEcho(t, conn)
					}
				}
				for _, conn := range all {
					seen[conn.Client] = true
				}
				if len(seen) != len(all) {
					t.Errorf("the server saw %v, want %d clients", seen, len(all))
				}
			})
		}
	}
}

// mustHear wants something to come.
func mustHear(t *testing.T, conn interface {
	Read(b []byte) (int, error)
	SetReadDeadline(t time.Time) error
}) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(lab.Patience))
	if _, err := conn.Read(make([]byte, 1500)); err != nil {
		t.Error(err)
	}
}
