// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// flows shows what each side of a flow elsewhere sees.
func TestFlowsElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		x := site.Host.XFWD()
		p.publish(x, "80/tcp+udp", server, 30080)
		for _, network := range networks {
			server.Echo(network, ":30080")
			for _, host := range site.HostAddr.All() {
				conn := site.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				want := lab.Flow{
					Frontend:    lab.Frontend{Protocol: network, Port: 80, PortEnd: 80, Devices: []string{}},
					Client:      endpoint(conn.Local()),
					Destination: endpoint(at(host, 80)),
					Source:      endpoint(conn.Client),
					Target:      endpoint(at(server.Addr.Of(host), 30080)),
					State:       map[string]string{"tcp": "established", "udp": "two-way"}[network],
				}
				flows := x.Flows()
				if !slices.ContainsFunc(flows, func(f lab.Flow) bool { return fmt.Sprint(f) == fmt.Sprint(want) }) {
					t.Errorf("%+v is not among %+v", want, flows)
				}
			}
		}
	})
}

// Counters are exact for what leaves again, too.
func TestCountersElsewhere(t *testing.T) {
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
				site.Offloads(offloads)
				x := site.Host.XFWD()
				p.publish(x, "80", server, 30080)
				p.publish(x, "53/udp", server, 30053)
				server.Bulk(":30080")
				server.Echo("udp", ":30053")
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, "tcp "+family, func(t *testing.T) {
						before, capture := x.Counters("80"), site.Client.Capture("eth0")
						if err := site.Client.Upload(at(host, 80), 5_000_000); err != nil {
							t.Fatal(err)
						}
						if err := site.Client.Download(at(host, 80), 5_000_000); err != nil {
							t.Fatal(err)
						}
						compareCounters(t, x, "80", before, capture, 80)
					})
					within(t, site.Network, "udp in segments "+family, func(t *testing.T) {
						before, capture := x.Counters("53/udp"), site.Client.Capture("eth0")
						echoInSegments(t, site.Client, at(host, 53), offloads)
						compareCounters(t, x, "53/udp", before, capture, 53)
					})
				}
			})
		})
	}
}

// Who talks to a backend directly, through the host or not, notices nothing, also
// when client and source port are those of a flow of ours.
func TestDirectClientsElsewhere(t *testing.T) {
	t.Parallel()
	for _, order := range []struct {
		name          string
		frontendFirst bool
	}{{"frontend first", true}, {"backend first", false}} {
		for _, p := range places[3:] {
			t.Run(p.name+" "+order.name, func(t *testing.T) {
				t.Parallel()
				site, server := p.site(lab.New(t))
				site.Client.DefaultRoutes(site.HostAddr)
				p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
				for _, network := range networks {
					server.Echo(network, ":30080")
					for family, host := range site.HostAddr.All() {
						within(t, site.Network, network+" "+family, func(t *testing.T) {
							from := at(site.ClientAddr.Of(host), 40000)
							to := []lab.Addresses{site.HostAddr, server.Addr}
							ports := []uint16{80, 30080}
							if !order.frontendFirst {
								slices.Reverse(to)
								slices.Reverse(ports)
							}
							first := collide(t, site.Network, network, at(to[0].Of(host), ports[0]), from)
							second := collide(t, site.Network, network, at(to[1].Of(host), ports[1]), from)
							for range 3 {
								mustEcho(t, first)
								mustEcho(t, second)
							}
							mustSee(t, first)
							if second.Client.Addr() != from.Addr() || second.Client.Port() == from.Port() {
								t.Errorf("the server saw the second connection from %v; its client is %v", second.Client, from)
							}
							direct := site.Client.MustConnect(network, at(server.Addr.Of(host), 30080))
							mustEcho(t, direct)
							mustSee(t, direct)
						})
					}
				}
			})
		}
	}
}

// What passes through the host to others than backends is left alone, though it
// has their port.
func TestTransitBesideBackend(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(2)
	backend, other := site.Servers[0], site.Servers[1]
	site.Client.DefaultRoutes(site.HostAddr)
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp"}, backends(backend, 30080)...)...)
	for _, server := range []lab.Server{other, site.Alone} {
		for _, network := range networks {
			echo(server.Namespace, server.Addr, network, 30080)
			for _, addr := range server.Addr.All() {
				conn := site.Client.MustConnect(network, at(addr, 30080))
				mustEcho(t, conn)
				mustSee(t, conn)
			}
		}
	}
	if table := x.Status().Flows; table.Established+table.Transitory != 0 {
		t.Errorf("there are flows: %+v", table)
	}
	// From a backend, with its port, to others.
	site.Client.Echo("udp", ":5353")
	for _, addr := range backend.Addr.All() {
		conn, err := backend.Connect("udp", at(site.ClientAddr.Of(addr), 5353), at(addr, 30080))
		if err != nil {
			t.Fatal(err)
		}
		mustSee(t, conn)
	}
	if flows := x.Flows(); len(flows) != 0 {
		t.Errorf("there are flows: %+v", flows)
	}
}

// Each port of a range leads to its port of the backend, also from an address that
// no device of the host has.
func TestRangeOfVirtualAddressElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		x := site.Host.XFWD()
		for _, vip := range site.VIP.All() {
			backend := frontend(server.Addr.Of(vip), "31000-31099")
			x.Add(append([]string{frontend(vip, "9000-9099/tcp+udp"), backend}, p.flags...)...)
		}
		for _, network := range networks {
			for _, port := range []uint16{31000, 31042, 31099} {
				server.Echo(network, fmt.Sprintf(":%d", port))
				for _, vip := range site.VIP.All() {
					conn := site.Client.MustConnect(network, at(vip, port-22000))
					mustEcho(t, conn)
					p.mustSee(t, site, conn)
					if conn.Server.Port() != port {
						t.Errorf("%v reached %v", conn.RemoteAddr(), conn.Server)
					}
				}
			}
			if _, err := site.Client.Connect(network, at(site.VIP.V4, 9100), anyPort); err == nil {
				t.Error("the port after the range is served, too")
			}
		}
	})
}

// When the forward is deleted, established TCP lives on, UDP ends, and new clients
// are refused.
func TestDeleteElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		x := site.Host.XFWD()
		for _, network := range networks {
			server.Echo(network, ":30080")
		}
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, family, func(t *testing.T) {
				p.publish(x, "80/tcp+udp", server, 30080)
				stream := site.Client.MustConnect("tcp", at(host, 80))
				datagrams := site.Client.MustConnect("udp", at(host, 80))
				x.Do("del", "80/tcp+udp")
				mustEcho(t, stream)
				if err := stream.Echo(make([]byte, 1_000_000)); err != nil {
					t.Errorf("established TCP: %v", err)
				}
				p.mustSee(t, site, stream)
				if err := datagrams.Echo([]byte("still there?")); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("UDP: %v, want a refusal", err)
				}
				for _, network := range networks {
					if _, err := site.Client.Connect(network, at(host, 80), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("new %s: %v, want a refusal", network, err)
					}
				}
			})
		}
	})
}
