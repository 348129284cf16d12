// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// soon is how long traffic may stand still after a change that nobody told us: a
// next hop is looked up again after two seconds, and TCP sends again after one more.
const soon = 5 * time.Second

// forgotten is how long an old next hop may still be used.
const forgotten = 2500 * time.Millisecond

// The first packet gets through where nobody has asked for the neighbour yet, and
// so does the first after it was forgotten.
func TestNoNeighbourAtFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			echo(server.Namespace, server.Addr, network, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, network+" "+family, func(t *testing.T) {
					for range 2 {
						forgetNeighbours(t, site.Host)
						start := time.Now()
						mustEcho(t, site.Client.MustConnect(network, at(host, 80)))
						// A lost SYN is sent again after a second.
						if elapsed := time.Since(start); elapsed > 900*time.Millisecond {
							t.Errorf("the connection took %v", elapsed)
						}
					}
				})
			}
		}
	})
}

// A neighbour that is forgotten under load is found again.
func TestNeighbourDeletedUnderLoad(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			server.Echo(network, ":30080")
		}
		load := keepTalking(site.Network, 80)
		for range 3 {
			forgetNeighbours(t, site.Host)
			load.mustGoOn(t, soon)
		}
	})
}

// forgetNeighbours empties the neighbour tables of a machine.
func forgetNeighbours(t *testing.T, ns *lab.Namespace) {
	t.Helper()
	neighbours, err := ns.Links().NeighList(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, neighbour := range neighbours {
		if neighbour.State&unix.NUD_NOARP != 0 || neighbour.Family != unix.AF_INET && neighbour.Family != unix.AF_INET6 {
			continue
		}
		// It may have been forgotten meanwhile.
		if err := ns.Links().NeighDel(&neighbour); err != nil && !errors.Is(err, unix.ENOENT) {
			t.Fatalf("forgetting %v: %v", neighbour.IP, err)
		}
	}
}

// A server and a client that get another link-layer address, and say so, are
// followed there.
func TestLinkLayerAddressChanges(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			server.Echo(network, ":30080")
		}
		load := keepTalking(site.Network, 80)
		for i, machine := range []*lab.Namespace{server.Namespace, site.Client} {
			machine.Sysctl("net.ipv4.conf.eth0.arp_notify", "1")
			machine.Sysctl("net.ipv6.conf.eth0.ndisc_notify", "1")
			// The kernel believes one change of a neighbour's address a second.
			time.Sleep(1100 * time.Millisecond)
			machine.SetMAC("eth0", []byte{2, 0, 0, 0, 0xee, byte(i)})
			load.mustGoOn(t, soon)
		}
	})
}

// Traffic that we forward tells the kernel that its neighbours are in use, which
// makes it ask now and then whether they are still there.
func TestNeighboursAreInUse(t *testing.T) {
	lab.Need(t, "ip")
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		if server.Namespace == site.Alone.Namespace {
			return // what is handed to the other end of a veth has no neighbour to ask
		}
		// It doubts after 1.5 to 4.5 seconds, not after half a minute, and asks a second
		// after the neighbour was used then.
		for _, family := range []string{"ipv4", "ipv6"} {
			prefix := "net." + family + ".neigh." + site.Device + "."
			site.Host.Sysctl(prefix+"base_reachable_time_ms", "3000")
			site.Host.Sysctl(prefix+"delay_first_probe_time", "1")
		}
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			server.Echo(network, ":30080")
		}
		load := keepTalking(site.Network, 80)
		time.Sleep(12 * time.Second)
		load.mustGoOn(t, soon)
		for _, addr := range server.Addr.All() {
			// Seconds since it was used, since it answered, since it changed.
			said := site.Host.Run("ip", "-s", "neigh", "show", "to", addr.String())
			_, times, _ := strings.Cut(said, "used ")
			var used, confirmed int
			if _, err := fmt.Sscanf(times, "%d/%d/", &used, &confirmed); err != nil {
				t.Fatalf("%v: %q", err, said)
			}
			if confirmed > 9 {
				t.Errorf("the kernel has not asked for %d s whether %v is there: %s", confirmed, addr, said)
			}
		}
	})
}

// When the way to a backend leads by another router, traffic goes there, and none
// by the old one.
func TestGatewayMoves(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(0)
	routers, far := site.Routers(1500)
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp"}, backends(far, 30080)...)...)
	for _, network := range networks {
		far.Echo(network, ":30080")
	}
	load := keepTalking(site.Network, 80)
	for _, now := range []int{1, 0, 1} {
		for _, addr := range far.Addr.All() {
			site.Host.ReplaceRoute(netip.PrefixFrom(addr, addr.BitLen()), routers[now].Addr.Of(addr))
		}
		time.Sleep(forgotten)
		old, new := routers[1-now].Capture("eth0"), routers[now].Capture("eth0")
		load.mustGoOn(t, soon)
		if strays := towards(old.Stop(), 30080); strays != 0 {
			t.Errorf("%d packets still go by the old router", strays)
		}
		if towards(new.Stop(), 30080) == 0 {
			t.Error("no packet goes by the new router")
		}
	}
}

// towards counts the packets that arrived for a port.
func towards(packets []lab.Packet, port uint16) (count int) {
	for _, p := range packets {
		if l := p.TransportLayer(); !p.Outgoing && l != nil {
			if dst := l.TransportFlow().Dst().Raw(); uint16(dst[0])<<8|uint16(dst[1]) == port {
				count++
			}
		}
	}
	return count
}

// When the address of a backend moves to another machine, on another device, what
// is new goes there, as UDP does that was there before, and nothing goes to the old
// one any more.
func TestBackendMovesToAnotherDevice(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	service := lab.Addresses{V4: netip.MustParseAddr("203.0.113.9"), V6: netip.MustParseAddr("2001:db8:113::9")}
	homes := []lab.Server{site.Servers[0], site.Alone}
	move := func(home lab.Server) {
		for _, addr := range service.All() {
			site.Host.ReplaceRoute(netip.PrefixFrom(addr, addr.BitLen()), home.Addr.Of(addr))
		}
	}
	for _, home := range homes {
		for _, addr := range service.All() {
			home.Address("lo", netip.PrefixFrom(addr, addr.BitLen()))
			home.Echo("tcp", at(addr, 30080).String())
		}
	}
	move(homes[0])
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp", "--source", "preserve"}, backends(lab.Server{Addr: service}, 30080)...)...)
	for family, host := range site.HostAddr.All() {
		within(t, site.Network, family, func(t *testing.T) {
			move(homes[0])
			before := homes[0].Echo("udp", at(service.Of(host), 30080).String())
			after := homes[1].Echo("udp", at(service.Of(host), 30080).String())
			conn := &talk{Conn: site.Client.MustConnect("udp", at(host, 80))}
			if len(before.Clients()) == 0 {
				t.Error("the backend is not where it should be at first")
			}
			go conn.send()
			move(homes[1])
			time.Sleep(forgotten)
			old, answers := homes[0].Capture("eth0"), conn.answers.Load()
			lab.Eventually(t, soon, func() error {
				if conn.answers.Load() == answers || len(after.Clients()) == 0 {
					return errors.New("the address has moved, the flow has not")
				}
				return nil
			})
			for _, network := range networks {
				mustEcho(t, site.Client.MustConnect(network, at(host, 80)))
			}
			if strays := towards(old.Stop(), 30080); strays != 0 {
				t.Errorf("%d packets still go where the address was", strays)
			}
		})
	}
}

// Traffic survives that the device towards the backend is down for a while.
func TestDeviceDownAndUp(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		device := site.Device
		if server.Namespace == site.Alone.Namespace {
			device = "pod0"
		}
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			server.Echo(network, ":30080")
		}
		site.Host.Sysctl("net.ipv6.conf."+device+".keep_addr_on_down", "1")
		load := keepTalking(site.Network, 80)
		site.Host.Down(device)
		time.Sleep(time.Second)
		site.Host.Up(device)
		load.mustGoOn(t, 2*soon)
	})
}

// What leads nowhere is refused at once, makes no flow, and works as soon as there
// is a way.
func TestNoRouteIsRefused(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	service := lab.Addresses{V4: netip.MustParseAddr("203.0.113.9"), V6: netip.MustParseAddr("2001:db8:113::9")}
	x := site.Host.XFWD()
	said := x.Add(append([]string{"80/tcp+udp"}, backends(lab.Server{Addr: service}, 30080)...)...).Stderr
	for _, addr := range service.All() {
		if lineWith(said, "no route to "+addr.String()) == "" {
			t.Errorf("add does not say that there is no route to %v:\n%s", addr, said)
		}
	}
	mustBeUnreachable(t, site, x, "no-route")

	server := site.Servers[0]
	for family, addr := range service.All() {
		within(t, site.Network, family, func(t *testing.T) {
			server.Address("lo", netip.PrefixFrom(addr, addr.BitLen()))
			site.Host.ReplaceRoute(netip.PrefixFrom(addr, addr.BitLen()), server.Addr.Of(addr))
			for _, network := range networks {
				server.Echo(network, at(addr, 30080).String())
				mustEcho(t, site.Client.MustConnect(network, at(site.HostAddr.Of(addr), 80)))
			}
		})
	}
}

// On a host that forwards nothing, neither do we; add says what to set.
func TestForwardingOffIsRefused(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	server := site.Servers[0]
	for _, network := range networks {
		server.Echo(network, ":30080")
	}
	site.Host.Sysctl("net.ipv4.ip_forward", "0")
	site.Host.Sysctl("net.ipv6.conf.all.forwarding", "0")
	x := site.Host.XFWD()
	said := x.Add(append([]string{"80/tcp+udp"}, backends(server, 30080)...)...).Stderr
	for _, sysctl := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if lineWith(said, sysctl) == "" {
			t.Errorf("add does not speak of %s:\n%s", sysctl, said)
		}
	}
	mustBeUnreachable(t, site, x, "forwarding-off")

	site.Host.Forwarding()
	for family, host := range site.HostAddr.All() {
		within(t, site.Network, family, func(t *testing.T) {
			for _, network := range networks {
				mustEcho(t, site.Client.MustConnect(network, at(host, 80)))
			}
		})
	}
}

// mustBeUnreachable fails the test unless clients of port 80 are told at once that
// there is no way, for a reason that is counted, and no flow is made.
func mustBeUnreachable(t *testing.T, site *lab.Site, x *lab.XFWD, reason string) {
	t.Helper()
	for _, host := range site.HostAddr.All() {
		start := time.Now()
		_, err := site.Client.Connect("tcp", at(host, 80), anyPort)
		if !isUnreachable(err) {
			t.Errorf("TCP to %v: %v, want that it is unreachable", host, err)
		}
		// The kernel may still be busy with connect() when the answer to the first SYN
		// comes, and then believes only the next one, a second later.
		if elapsed := time.Since(start); elapsed > 2*time.Second {
			t.Errorf("TCP to %v: the answer took %v", host, elapsed)
		}
		conn, err := site.Client.Dial("udp", at(host, 80), anyPort)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		setTTL(t, conn, host, 64)
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if errno, sender := icmpError(t, conn); !isUnreachable(errno) || sender != host {
			t.Errorf("UDP to %v: %v says %v, want that it is unreachable", host, sender, errno)
		}
	}
	for _, network := range networks {
		counters := x.Counters("80/" + network)
		if counters.Drops[reason] < 2 || counters.Connections.Opened != 0 {
			t.Errorf("%s: counted %+v, want two of %s and no connection", network, counters, reason)
		}
	}
	if table := x.Status().Flows; table.Established+table.Transitory != 0 {
		t.Errorf("there are flows: %+v", table)
	}
}

func isUnreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// A backend that is there no more, though its network is, is reported as
// unreachable as soon as the kernel gives up asking for it.
func TestSilentNeighbour(t *testing.T) {
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		server.Down("eth0")
		server.SetMAC("eth0", []byte{2, 0, 0, 0, 0xee, 1})
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, family, func(t *testing.T) {
				conn, err := site.Client.Dial("udp", at(host, 80), anyPort)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				setTTL(t, conn, host, 64)
				lab.Eventually(t, 2*soon, func() error {
					if _, err := conn.Write([]byte("hello")); isUnreachable(err) {
						return nil
					}
					time.Sleep(100 * time.Millisecond)
					return errors.New("nobody says that the backend is gone")
				})
			})
		}
	})
}

// Routers may be known by link-local addresses, those of IPv4 by addresses of IPv6.
func TestLinkLocalGateway(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(0)
	routers, far := site.Routers(1500)
	gateway := routers[1].LinkLocal("eth0")
	for _, addr := range far.Addr.All() {
		route := &netlink.Route{
			Dst:       netlink.NewIPNet(addr.AsSlice()),
			LinkIndex: site.Host.Index(site.Device),
		}
		if addr.Is4() {
			route.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: gateway.AsSlice()}
		} else {
			route.Gw = gateway.AsSlice()
		}
		if err := site.Host.Links().RouteAdd(route); err != nil {
			t.Fatal(err)
		}
	}
	site.Host.XFWD().Add(append([]string{"80/tcp+udp"}, backends(far, 30080)...)...)
	for _, network := range networks {
		far.Echo(network, ":30080")
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				by := routers[1].Capture("eth0")
				conn := site.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				mustBeMasqueraded(t, site, conn)
				if towards(by.Stop(), 30080) == 0 {
					t.Error("nothing came by the router: the test does not test what it says")
				}
			})
		}
	}
}

// Where rules of the host choose another routing table for what comes from
// clients, no packet goes as the main table says.
func TestPolicyRouting(t *testing.T) {
	t.Parallel()
	site := lab.New(t).TwoArmed(0)
	routers, far := site.Routers(1500)
	const table = 100
	for family, addr := range map[int]netip.Addr{unix.AF_INET: far.Addr.V4, unix.AF_INET6: far.Addr.V6} {
		rule := netlink.NewRule()
		rule.Family, rule.IifName, rule.Table, rule.Priority = family, "eth0", table, 1000
		if err := site.Host.Links().RuleAdd(rule); err != nil {
			t.Fatal(err)
		}
		route := &netlink.Route{
			Dst: netlink.NewIPNet(addr.AsSlice()), Gw: routers[1].Addr.Of(addr).AsSlice(), Table: table,
		}
		if err := site.Host.Links().RouteAdd(route); err != nil {
			t.Fatal(err)
		}
	}
	site.Host.XFWD().Add(append([]string{"80/tcp+udp"}, backends(far, 30080)...)...)
	for _, network := range networks {
		far.Echo(network, ":30080")
	}
	main, chosen := routers[0].Capture("eth0"), routers[1].Capture("eth0")
	load := keepTalking(site.Network, 80)
	// Long enough for next hops to be looked up again.
	time.Sleep(2 * forgotten)
	load.mustGoOn(t, soon)
	if strays := towards(main.Stop(), 30080); strays != 0 {
		t.Errorf("%d packets went as the main table says", strays)
	}
	if towards(chosen.Stop(), 30080) == 0 {
		t.Error("no packet went as the rule says")
	}
}

// A route that forbids to reach the backend is a refusal, too.
func TestForbiddenRouteIsRefused(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]int{"unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Containers(1)
			server := site.Servers[0]
			for _, addr := range server.Addr.All() {
				route := &netlink.Route{Dst: netlink.NewIPNet(addr.AsSlice()), Type: kind}
				if err := site.Host.Links().RouteAdd(route); err != nil {
					t.Fatal(err)
				}
			}
			x := site.Host.XFWD()
			x.Add(append([]string{"80/tcp+udp"}, backends(server, 30080)...)...)
			mustBeUnreachable(t, site, x, "no-route")
		})
	}
}
