// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	gomaps "maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// localRoute is a route of the local table: of destinations that the host takes for
// itself, or of addresses that are of several hosts.
type localRoute struct {
	to   netip.Prefix
	kind int // RTN_*
}

// localPlace is where local routes are: of a family, on the device that they name, by
// ifindex.
type localPlace struct {
	family  uint8
	ifindex int
}

// localRoutes are those of the local table. Other tables have such routes for what a local
// program takes from others, as transparent proxies do.
type localRoutes map[localPlace][]localRoute

// isLocal says whether a route is one of these.
func isLocal(route netlink.Route) bool {
	return route.Table == unix.RT_TABLE_LOCAL && (route.Type == unix.RTN_LOCAL || route.Type == unix.RTN_BROADCAST || route.Type == unix.RTN_ANYCAST)
}

// listLocalRoutes reads those of the current namespace.
func listLocalRoutes() (localRoutes, error) {
	l := make(localRoutes)
	for _, family := range families {
		if err := l.read(family, 0); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// read reads those of a family anew that name a device, by ifindex, or all.
func (l localRoutes) read(family uint8, ifindex int) error {
	gomaps.DeleteFunc(l, func(at localPlace, _ []localRoute) bool {
		return at.family == family && (ifindex == 0 || at.ifindex == ifindex)
	})
	return dumpRoutes(family, unix.RT_TABLE_LOCAL, ifindex, func(route netlink.Route) bool {
		if isLocal(route) {
			at := localPlace{family, route.LinkIndex}
			l[at] = append(l[at], localRoute{prefixFrom(route, family), route.Type})
		}
		return true
	})
}

func prefixFrom(route netlink.Route, family uint8) netip.Prefix {
	if route.Dst == nil {
		if family == unix.AF_INET {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	ones, _ := route.Dst.Mask.Size()
	return netip.PrefixFrom(addrFrom(route.Dst.IP), ones)
}

// askLocalRoutes asks for the local routes that may have changed. IPv4 loses routes with
// their device without a word.
func (f *facts) askLocalRoutes(c Change) error {
	changed := union(union(gomaps.Clone(c.devices), c.addresses), c.locals)
	for _, family := range families {
		var ask []int
		for ifindex := range changed {
			place := localPlace{family, ifindex}
			_, had := f.local[place]
			switch {
			case ifindex != 0 && f.links[ifindex] == nil:
				delete(f.local, place)
			case had, c.locals[ifindex], f.hasAddress(ifindex, family):
				ask = append(ask, ifindex)
			}
		}
		// The kernel looks through all local routes for each device.
		if len(ask) > mostAsked || slices.Contains(ask, 0) {
			ask = []int{0}
		}
		for _, ifindex := range ask {
			if err := f.local.read(family, ifindex); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasAddress says whether a device, by ifindex, has an address of a family.
func (f *facts) hasAddress(ifindex int, family uint8) bool {
	return slices.ContainsFunc(f.addresses[ifindex], func(a netlink.Addr) bool {
		return a.IPNet != nil && addrFrom(a.IP).Is4() == (family == unix.AF_INET)
	})
}

// noteDefault notes of a default route that its table has a route for every destination.
// A rule goes on with the next table where it finds "throw".
func (r *routes) noteDefault(family uint8, route netlink.Route) {
	if route.Type != unix.RTN_THROW {
		r.defaults[routeTable{family, route.Table}] = true
	}
}

// askDefaults asks which of the tables that packets of a family are looked up in have a
// route for every destination, as far as that is not known.
func (f *facts) askDefaults(family uint8) error {
	for _, table := range f.routing[family] {
		if err := f.askDefault(family, table); err != nil {
			return err
		}
		if f.routes.defaults[routeTable{family, table}] {
			break
		}
	}
	for _, l := range f.links {
		if vrf, is := l.(*netlink.Vrf); is {
			if err := f.askDefault(family, int(vrf.Table)); err != nil {
				return err
			}
		}
	}
	return nil
}

// askDefault asks that of one table.
func (f *facts) askDefault(family uint8, table int) error {
	t := routeTable{family, table}
	if _, known := f.routes.defaults[t]; known || table == unix.RT_TABLE_UNSPEC {
		return nil
	}
	f.routes.defaults[t] = false
	if table == unix.RT_TABLE_LOCAL {
		// What it has is known.
		for at, routes := range f.local {
			if at.family == family && slices.ContainsFunc(routes, func(r localRoute) bool { return r.to.Bits() == 0 }) {
				f.routes.defaults[t] = true
			}
		}
		return nil
	}
	return dumpRoutes(family, table, 0, func(route netlink.Route) bool {
		if isDefault(route) {
			f.routes.noteDefault(family, route)
			return !f.routes.defaults[t]
		}
		// See readDefaults.
		return family == unix.AF_INET6
	})
}

// serviceTest says whether an address of a device, by its number, is one of a service.
type serviceTest func(ifindex, bits int, a netip.Addr) bool

// ipvsDevice is where kube-proxy puts the addresses of all services, for IPVS to
// take what is sent to them.
const ipvsDevice = "kube-ipvs0"

// holdsService says whether an address of a device, with the prefix of that length,
// is one of a service: somebody takes from the kernel what is sent to it, or it is
// for this host alone. Clients outside of the host may have to do with it, but
// not by way of a forward that does not name it.
func (d *device) holdsService(bits, length int) bool {
	return d.name == ipvsDevice || d.kind == "dummy" && bits == length
}

// holdsService says the same of a device by its number.
func (h *Host) holdsService(ifindex, bits int, a netip.Addr) bool {
	d := h.byIndex[ifindex]
	return d != nil && d.holdsService(bits, a.BitLen())
}

// noteService notes an address of a service, unless another device has it, too.
func (h *hostAddresses) noteService(ifindex int, ip netip.Addr) {
	if _, known := h.local[ip]; known {
		return
	}
	h.local[ip] = maps.LocalAddress{Service: true}
	if h.services == nil {
		h.services = make(map[int][]netip.Addr)
	}
	h.services[ifindex] = append(h.services[ifindex], ip)
}

// noteRoutes notes what is the host's by a route only, such as an address that the
// network of a cloud forwards to it.
func (h *hostAddresses) noteRoutes(local localRoutes, service serviceTest) {
	// What another device has, too, is not one of a service.
	for _, ofServices := range []bool{false, true} {
		for at, routes := range local {
			for _, r := range routes {
				if service(at.ifindex, r.to.Bits(), r.to.Addr()) == ofServices {
					h.noteRoute(at.ifindex, r, ofServices)
				}
			}
		}
	}
}

func (h *hostAddresses) noteRoute(ifindex int, r localRoute, ofService bool) {
	a := r.to.Addr()
	_, known := h.local[a]
	switch {
	case r.kind == unix.RTN_BROADCAST:
		h.broadcast = append(h.broadcast, a)
	case r.kind == unix.RTN_ANYCAST:
		h.anycast = append(h.anycast, a)
	case a.IsLoopback(), r.to.IsSingleIP() && known:
	case r.to.IsSingleIP() && ofService:
		h.noteService(ifindex, a)
	case r.to.IsSingleIP():
		h.local[a] = maps.LocalAddress{}
	case !ofService && !slices.Contains(h.prefixes, r.to):
		h.prefixes = append(h.prefixes, r.to)
	}
}

// has says whether an address is the host's.
func (h *hostAddresses) has(a netip.Addr) bool {
	if _, known := h.local[a]; known || a.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(h.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// LocalAddresses are the host's own addresses, as the programs shall know them.
func (h *Host) LocalAddresses() maps.LocalAddresses {
	return maps.LocalAddresses{
		Single:    h.addresses.local,
		Prefixes:  h.addresses.prefixes,
		Broadcast: h.addresses.broadcast,
	}
}

// Services are the addresses of devices that hold those of services, by the name of
// the device. A frontend without an address does not mean them.
func (h *Host) Services() map[string][]netip.Addr {
	services := make(map[string][]netip.Addr, len(h.addresses.services))
	for ifindex, addresses := range h.addresses.services {
		if d := h.byIndex[ifindex]; d != nil {
			slices.SortFunc(addresses, netip.Addr.Compare)
			services[d.name] = addresses
		}
	}
	return services
}

// IsBroadcast says whether an address is the broadcast address of a network of this
// host.
func (h *Host) IsBroadcast(a netip.Addr) bool {
	return slices.Contains(h.addresses.broadcast, a)
}

// IsAnycast says whether an address is that of all routers of a network of this host
// (RFC 4291 2.6.1), which the kernel knows where it is one of them.
func (h *Host) IsAnycast(a netip.Addr) bool {
	return slices.Contains(h.addresses.anycast, a)
}

// routesAll says whether an address that the routing table does not forward to is
// the host's: every packet of the family that comes by the device finds a route, and
// no addresses of services come and go.
func (h *Host) routesAll(d *device, family uint8) bool {
	if h.holdsServices() {
		return false
	}
	has := func(table int) bool { return h.routes.defaults[routeTable{family, table}] }
	return slices.ContainsFunc(h.facts.routing[family], has) || d.vrfTable != 0 && has(d.vrfTable)
}

func (h *Host) holdsServices() bool {
	return len(h.addresses.services) > 0 || h.byName[ipvsDevice] != nil
}

// routingRules are the tables, by family, in which every packet is looked up whatever
// other rules there are, in the order of their rules.
type routingRules map[uint8][]int

// listRoutingRules reads the routing rules of the current namespace.
func listRoutingRules() (routingRules, error) {
	all := make(routingRules)
	for _, family := range families {
		var list []netlink.Rule
		err := dump("routing rules", func() (err error) {
			list, err = netlink.RuleList(int(family))
			return err
		})
		switch {
		case errors.Is(err, unix.EOPNOTSUPP):
			// A kernel without rules has the main table alone.
			list = []netlink.Rule{{Table: unix.RT_TABLE_MAIN, SuppressPrefixlen: -1, SuppressIfgroup: -1}}
		case err != nil:
			return all, err
		}
		for _, rule := range list {
			if isUnconditional(rule) {
				all[family] = append(all[family], rule.Table)
			}
		}
	}
	return all, nil
}

// isUnconditional says whether a rule applies to every packet and every route.
func isUnconditional(r netlink.Rule) bool {
	return r.Src == nil && r.Dst == nil && r.IifName == "" && r.OifName == "" && r.Mark == 0 && r.Mask == nil &&
		r.Tos == 0 && r.TunID == 0 && r.IPProto == 0 && r.Sport == nil && r.Dport == nil && r.UIDRange == nil &&
		r.SuppressPrefixlen < 0 && r.SuppressIfgroup < 0 && !r.Invert
}
