// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/model"
)

// host is what the model must know of the world: how newWorld made it.
func (c *contest) host() (*model.Host, error) {
	h := &model.Host{Local: make(map[netip.Addr]bool), Devices: make(map[string]model.Device), Router: true}
	addresses, err := c.world.host.Links().AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		ip, _ := netip.AddrFromSlice(a.IP)
		h.Local[ip.Unmap()] = true
	}
	for name, m := range map[string]machine{"eth0": host, "eth1": second, "pod0": gateway} {
		d := model.Device{MAC: [6]byte(c.mac(name)), Primary: [2]netip.Addr{m.V4, m.V6}, MTU: 1500, XDP: true}
		if name == "pod0" {
			d.MTU, d.Pair, d.XDP = podMTU, true, false
		}
		h.Devices[name] = d
	}
	h.Primary = h.Devices["eth0"].Primary
	settings, err := c.set.Settings()
	if err != nil {
		return nil, err
	}
	h.Ephemeral, h.Masquerade = settings.Ephemeral, settings.Masquerade
	local, err := c.localRoutes()
	if err != nil {
		return nil, err
	}
	h.Route = func(to netip.Addr) model.Route { return routeOf(h, local, to) }
	return h, nil
}

// localRoutes are those of the kernel's own table, by destination: of addresses of
// the host, of broadcasts, and of any router. Whether an IPv4 network has a second
// broadcast address depends on the kernel.
func (c *contest) localRoutes() (map[netip.Addr]bool, error) {
	local := make(map[netip.Addr]bool)
	for _, f := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := c.world.host.Links().RouteListFiltered(f, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if ones, bits := r.Dst.Mask.Size(); ones == bits {
				a, _ := netip.AddrFromSlice(r.Dst.IP)
				local[a.Unmap()] = true
			}
		}
	}
	return local, nil
}

// routeOf says where a packet goes, by the routes that the world has.
func routeOf(h *model.Host, local map[netip.Addr]bool, to netip.Addr) model.Route {
	if local[to] || to.IsLoopback() {
		return model.Route{Here: true}
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
	c.note(noted("the routes and the rules of netfilter have changed"))
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
