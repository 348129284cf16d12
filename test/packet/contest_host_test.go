// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf/features"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
	"github.com/xfwd/xfwd/test/model"
)

// contestListeners wait on the host of a contest: of the targets there, one port has a
// socket without an address, one has sockets with the second address, and others have
// none.
var contestListeners = []model.Socket{
	{Protocol: unix.IPPROTO_UDP, Local: netip.AddrPortFrom(netip.IPv6Unspecified(), 30080)},
	{Protocol: unix.IPPROTO_UDP, Local: netip.AddrPortFrom(second.V4, 30081)},
	{Protocol: unix.IPPROTO_UDP, Local: netip.AddrPortFrom(second.V6, 30081)},
	{Protocol: unix.IPPROTO_TCP, Local: netip.AddrPortFrom(second.V4, 30080)},
	{Protocol: unix.IPPROTO_TCP, Local: netip.AddrPortFrom(second.V6, 30080)},
	{Protocol: unix.IPPROTO_TCP, Local: netip.AddrPortFrom(netip.IPv6Unspecified(), 30081)},
}

// furnish gives the host of a contest what others have not: sockets, addresses of
// services, and a network that is its own by a route.
func (w *world) furnish() {
	for _, s := range contestListeners {
		if s.Protocol == unix.IPPROTO_TCP {
			w.host.Echo("tcp", s.Local.String())
		} else {
			w.waits(&everyTest, s)
		}
	}
	w.host.Run("ip", "link", "add", "kube-ipvs0", "type", "bridge")
	w.host.Run("ip", "link", "set", "kube-ipvs0", "up")
	for _, a := range []netip.Addr{service.V4, service.V6} {
		w.host.Address("kube-ipvs0", netip.PrefixFrom(a, a.BitLen()))
	}
	w.host.Run("ip", "route", "add", "local", netip.PrefixFrom(anycast.V4, 24).Masked().String(), "dev", "lo")
	w.host.Run("ip", "route", "add", "local", netip.PrefixFrom(anycast.V6, 64).Masked().String(), "dev", "lo")
}

// waits opens a UDP socket that waits for somebody. Connected ones may have its port, too.
func (w *world) waits(t lab.TB, s model.Socket) {
	t.Helper()
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: s.Local.Addr().As16(), Port: int(s.Local.Port())})
	if s.Local.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Addr: s.Local.Addr().As4(), Port: int(s.Local.Port())}
	}
	w.host.Do(func() {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.Bind(fd, address))
		if err != nil {
			t.Fatalf("wait at %v: %v", s.Local, err)
		}
	})
}

// sourcesTold is Linux 6.7, whose bpf_fib_lookup tells sources, as KERNEL_VERSION has it.
const sourcesTold = 6<<16 | 7<<8

// host is what the model must know of the world: how newWorld made it.
func (c *contest) host() (*model.Host, error) {
	h := &model.Host{
		Local:      make(map[netip.Addr]netip.Prefix),
		Services:   map[netip.Addr]bool{service.V4: true, service.V6: true},
		Broadcasts: make(map[netip.Addr]bool),
		Devices:    make(map[string]model.Device),
		Sockets:    contestListeners,
		Router:     true,
		RoutesAll:  c.certain,
	}
	version, err := features.LinuxVersionCode()
	if err != nil {
		return nil, err
	}
	h.TellsSource = version >= sourcesTold
	addresses, err := c.world.host.Links().AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		ip, _ := netip.AddrFromSlice(a.IP)
		h.Local[ip.Unmap()] = netip.Prefix{}
	}
	for name, m := range map[string]machine{"eth0": host, "eth1": second, "pod0": gateway} {
		d := model.Device{MAC: [6]byte(c.mac(name)), Primary: [2]netip.Addr{m.V4, m.V6}, MTU: 1500, XDP: true, Sources: c.filters[name]}
		if name == "pod0" {
			d.MTU, d.Pair, d.XDP = podMTU, true, false
		}
		h.Devices[name] = d
		h.Local[m.V4], h.Local[m.V6] = netip.PrefixFrom(m.V4, 24).Masked(), netip.PrefixFrom(m.V6, 64).Masked()
	}
	h.Primary = h.Devices["eth0"].Primary
	settings, err := c.set.Settings()
	if err != nil {
		return nil, err
	}
	h.Ephemeral, h.Masquerade = settings.Ephemeral, settings.Masquerade
	local, err := c.localRoutes(h)
	if err != nil {
		return nil, err
	}
	h.Route = func(q model.Question) model.Route { return c.routeOf(h, local, q) }
	h.Everywhere = func(bool) bool { return !c.lost }
	return h, nil
}

// localRoutes are those of the kernel's own table, by destination: of addresses of
// the host, of broadcasts, and of any router. The host learns of those that are for
// itself. Whether an IPv4 network has a second broadcast address depends on the
// kernel.
func (c *contest) localRoutes(h *model.Host) (map[netip.Addr]bool, error) {
	local := make(map[netip.Addr]bool)
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := c.world.host.Links().RouteListFiltered(f, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			a, _ := netip.AddrFromSlice(r.Dst.IP)
			a = a.Unmap()
			ones, bits := r.Dst.Mask.Size()
			switch {
			case ones < bits && r.Type == unix.RTN_LOCAL && !a.IsLoopback():
				h.LocalPrefixes = append(h.LocalPrefixes, netip.PrefixFrom(a, ones))
			case ones < bits:
			case r.Type == unix.RTN_BROADCAST:
				h.Broadcasts[a], local[a] = true, true
			default:
				local[a] = true
			}
		}
	}
	return local, nil
}

// routeOf says where a packet goes, by the routes that the world has.
func (c *contest) routeOf(h *model.Host, local map[netip.Addr]bool, q model.Question) model.Route {
	to := q.Destination.Addr()
	if local[to] || to.IsLoopback() || slices.ContainsFunc(h.LocalPrefixes, func(p netip.Prefix) bool { return p.Contains(to) }) {
		return model.Route{Stays: true}
	}
	for _, r := range contestRules {
		if r.chooses(q) {
			return model.Route{Device: r.to.device, Neighbour: [6]byte(r.to.next.mac()), Known: true}
		}
	}
	for _, m := range []machine{nowhere, blackhole} {
		if to == m.V4 || to == m.V6 {
			return model.Route{}
		}
	}
	for name, d := range h.Devices {
		net4, net6 := netip.PrefixFrom(d.Primary[0], 24).Masked(), netip.PrefixFrom(d.Primary[1], 64).Masked()
		if !net4.Contains(to) && !net6.Contains(to) {
			continue
		}
		r := model.Route{Device: name}
		for _, x := range []*exit{toRouter, toBeside, toRemote, toBesideRemote, toPod, toBesidePod} {
			if x.next.V4 == to || x.next.V6 == to {
				r.Neighbour, r.Known = [6]byte(x.next.mac()), true
			}
		}
		return r
	}
	if c.lost {
		return model.Route{Stays: true}
	}
	return model.Route{Device: "eth0", Neighbour: [6]byte(router.mac()), Known: true}
}

// changeRoutes has the host forward packets of others, or not, or has all next
// hops looked up again, as whoever watches routes does.
func (c *contest) changeRoutes() error {
	if c.dice.roll(4) == 0 {
		on := c.dice.roll(3) > 0
		c.note(noted(fmt.Sprintf("the host is a router: %v", on)))
		c.route(on)
		c.model.Host.Router = on
		return nil
	}
	if c.dice.roll(3) == 0 {
		return c.changeDefault(c.dice.roll(3) > 0)
	}
	c.note(noted("the routes and the rules of netfilter have changed"))
	return c.endNextHops()
}

// changeDefault gives the host its default routes, or takes them.
func (c *contest) changeDefault(on bool) error {
	c.note(noted(fmt.Sprintf("the host has default routes: %v", on)))
	if err := c.giveDefault(on); err != nil {
		return err
	}
	return c.endNextHops()
}

// giveDefault does that.
func (w *world) giveDefault(on bool) (err error) {
	w.host.Do(func() { err = w.routeDefault(on) })
	return err
}

func (w *world) routeDefault(on bool) error {
	if on == w.lost {
		for _, a := range []netip.Addr{router.V4, router.V6} {
			change := netlink.RouteDel
			if on {
				change = netlink.RouteAdd
			}
			everything := &net.IPNet{IP: make(net.IP, a.BitLen()/8), Mask: net.CIDRMask(0, a.BitLen())}
			if err := change(&netlink.Route{Dst: everything, Gw: a.AsSlice()}); err != nil {
				return fmt.Errorf("the default route by %v: %w", a, err)
			}
		}
	}
	w.lost = !on
	return nil
}

// endNextHops has all next hops looked up again.
func (c *contest) endNextHops() error {
	settings, err := c.set.Settings()
	if err != nil {
		return err
	}
	settings.RouteGeneration++
	c.model.RouteGeneration++
	settings.MSS4, settings.MSS6 = one(c.dice, uint16(0), 1280), one(c.dice, uint16(0), 1220)
	c.model.Host.RuleMSS = [2]uint16{settings.MSS4, settings.MSS6}
	return c.set.PutSettings(settings)
}
