// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// noteLocal notes what a route says of the host's own addresses, and whether its
// table has a route for every destination.
func (r *routes) noteLocal(route netlink.Route) {
	if route.Dst == nil || isZeroLength(route) {
		// A rule goes on with the next table where it finds "throw".
		if route.Type != unix.RTN_THROW {
			r.defaults[routeTable{route.Family, route.Table}] = true
		}
		if route.Dst == nil {
			return
		}
	}
	// Other tables have such routes for what a local program takes from others, as
	// transparent proxies do.
	if route.Table != unix.RT_TABLE_LOCAL {
		return
	}
	to := prefixFrom(route)
	switch route.Type {
	case unix.RTN_LOCAL:
		r.local[to] = route.LinkIndex
	case unix.RTN_BROADCAST:
		r.broadcast = append(r.broadcast, to.Addr())
	case unix.RTN_ANYCAST:
		r.anycast = append(r.anycast, to.Addr())
	}
}

func prefixFrom(route netlink.Route) netip.Prefix {
	ones, _ := route.Dst.Mask.Size()
	return netip.PrefixFrom(addrFrom(route.Dst.IP), ones)
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
func (h *hostAddresses) noteRoutes(local map[netip.Prefix]int, service serviceTest) {
	for to, ifindex := range local {
		_, known := h.local[to.Addr()]
		switch {
		case to.Addr().IsLoopback(), to.IsSingleIP() && known:
		case to.IsSingleIP() && service(ifindex, to.Bits(), to.Addr()):
			h.noteService(ifindex, to.Addr())
		case to.IsSingleIP():
			h.local[to.Addr()] = maps.LocalAddress{}
		case !service(ifindex, to.Bits(), to.Addr()):
			h.prefixes = append(h.prefixes, to)
		}
	}
}

// has says whether an address is the host's.
func (h *hostAddresses) has(a netip.Addr) bool {
	if _, known := h.local[a]; known || a.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(h.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// KnownAddresses are the host's own addresses, as the programs shall know them.
func (h *Host) KnownAddresses() maps.KnownAddresses {
	return maps.KnownAddresses{
		Local:     h.addresses.local,
		Prefixes:  h.addresses.prefixes,
		Broadcast: h.routes.broadcast,
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
	return h.routes != nil && slices.Contains(h.routes.broadcast, a)
}

// IsAnycast says whether an address is that of all routers of a network of this host
// (RFC 4291 2.6.1), which the kernel knows where it is one of them.
func (h *Host) IsAnycast(a netip.Addr) bool {
	return h.routes != nil && slices.Contains(h.routes.anycast, a)
}

// routesAll says whether an address that the routing table does not forward to is
// the host's: every packet of the family that comes by the device finds a route, and
// no addresses of services come and go.
func (h *Host) routesAll(d *device, family int) bool {
	if h.holdsServices() {
		return false
	}
	return h.rules.routeAll[family] || d.vrfTable != 0 && h.routes.defaults[routeTable{family, d.vrfTable}]
}

func (h *Host) holdsServices() bool {
	return len(h.addresses.services) > 0 || h.byName[ipvsDevice] != nil
}

// rules is what must be known of the routing rules of a namespace.
type rules struct {
	// routeAll are the families of which every packet finds a route, whatever rules
	// apply to it.
	routeAll map[int]bool
}

// listRules reads the routing rules of the current namespace.
func listRules(r *routes) (rules, error) {
	all := rules{routeAll: make(map[int]bool)}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		var list []netlink.Rule
		err := dump("routing rules", func() (err error) {
			list, err = netlink.RuleList(family)
			return err
		})
		switch {
		case errors.Is(err, unix.EOPNOTSUPP):
			// A kernel without rules has the main table alone.
			list = []netlink.Rule{{Table: unix.RT_TABLE_MAIN, SuppressPrefixlen: -1, SuppressIfgroup: -1}}
		case err != nil:
			return all, err
		}
		all.routeAll[family] = slices.ContainsFunc(list, func(rule netlink.Rule) bool {
			return isUnconditional(rule) && r.defaults[routeTable{family, rule.Table}]
		})
	}
	return all, nil
}

// isUnconditional says whether a rule applies to every packet and every route.
func isUnconditional(r netlink.Rule) bool {
	return r.Src == nil && r.Dst == nil && r.IifName == "" && r.OifName == "" && r.Mark == 0 && r.Mask == nil &&
		r.Tos == 0 && r.TunID == 0 && r.IPProto == 0 && r.Sport == nil && r.Dport == nil && r.UIDRange == nil &&
		r.SuppressPrefixlen < 0 && r.SuppressIfgroup < 0 && !r.Invert
}
