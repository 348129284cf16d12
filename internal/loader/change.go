// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"maps"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Change is what has changed on the host, as far as the kernel has told. It says what has
// to be asked for anew; the answers count, not what the kernel has told.
type Change struct {
	// Everything is set if the kernel could not tell all of it, or nobody knows.
	Everything bool
	// NextHops is set for a route, a rule, or the link-layer address of a neighbour.
	NextHops bool
	// anyRoute is set if the change may be about the route to any address.
	anyRoute bool
	// rules is set if the rules of routing may have changed.
	rules bool
	// tables have other routes by a gateway, or by default; by number.
	tables map[int]bool
	// defaults is set if a default route has come or gone, anyUplink if any device may have
	// become an uplink or none.
	defaults, anyUplink bool
	// everywhere is set if there may be a route for every destination now, or none any
	// more.
	everywhere bool
	// devices have come, gone or changed; addresses have other addresses; gateways have
	// other routes by a gateway, or to everybody. All of them by ifindex.
	devices, addresses, gateways map[int]bool
	// locals are the devices, by ifindex, of routes of the local table that have come or
	// gone, 0 for a route that names none.
	locals map[int]bool
	// routes are the prefixes of routes that have come or gone.
	routes map[netip.Prefix]bool
}

const (
	// mostRoutes is how many prefixes a change remembers.
	mostRoutes = 4096
	// few are so many prefixes that to look at each is faster than to look for each length.
	few = 32
)

// WholeChange is that nobody knows what has changed.
func WholeChange() Change { return Change{Everything: true} }

// HasHost says whether more has changed than next hops.
func (c *Change) HasHost() bool {
	return c.Everything || c.everywhere || c.rules || len(c.devices) > 0 || len(c.addresses) > 0 || len(c.locals) > 0
}

// Merge makes c the change that is both.
func (c *Change) Merge(o Change) {
	c.Everything = c.Everything || o.Everything
	c.NextHops = c.NextHops || o.NextHops
	c.anyRoute = c.anyRoute || o.anyRoute
	c.rules = c.rules || o.rules
	c.tables = union(c.tables, o.tables)
	c.defaults = c.defaults || o.defaults
	c.anyUplink = c.anyUplink || o.anyUplink
	c.everywhere = c.everywhere || o.everywhere
	c.locals = union(c.locals, o.locals)
	c.devices = union(c.devices, o.devices)
	c.addresses = union(c.addresses, o.addresses)
	c.gateways = union(c.gateways, o.gateways)
	if c.routes = union(c.routes, o.routes); len(c.routes) > mostRoutes {
		c.routes, c.anyRoute = nil, true
	}
}

func union[K comparable](a, b map[K]bool) map[K]bool {
	if len(b) == 0 {
		return a
	}
	if a == nil {
		a = make(map[K]bool, len(b))
	}
	maps.Copy(a, b)
	return a
}

// deviceChange is that of one device, or of its addresses.
func deviceChange(ifindex int) Change  { return Change{devices: map[int]bool{ifindex: true}} }
func addressChange(ifindex int) Change { return Change{addresses: map[int]bool{ifindex: true}} }

// routeChange is that of one route, as the kernel tells it.
func routeChange(data []byte) Change {
	c := Change{NextHops: true}
	r, err := parseRoute(data)
	if err != nil || r.Flags&unix.RTM_F_CLONED != 0 {
		return c
	}
	for _, hop := range hopsOf(r) {
		if r.Type != unix.RTN_UNICAST {
			break
		}
		// The next hop may be one that routes share, which the message does not describe.
		c.anyUplink = c.anyUplink || hop.LinkIndex == 0
		if reachOf(r, hop) > toNetwork {
			c.gateways = union(c.gateways, map[int]bool{hop.LinkIndex: true})
		}
		if reachOf(r, hop) > toNetwork || hop.LinkIndex == 0 {
			c.tables = union(c.tables, map[int]bool{r.Table: true})
		}
	}
	c.defaults = isDefault(r)
	c.anyRoute, c.everywhere = c.defaults, c.defaults
	if isLocal(r) {
		c.locals = map[int]bool{r.LinkIndex: true}
	}
	if prefix, ok := prefixOf(r); ok && !c.defaults {
		c.routes = map[netip.Prefix]bool{prefix: true}
	}
	return c
}

// prefixOf is the prefix of a route that is not a default one.
func prefixOf(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		return netip.Prefix{}, false
	}
	ones, _ := r.Dst.Mask.Size()
	a, ok := netip.AddrFromSlice(r.Dst.IP)
	return netip.PrefixFrom(a, ones), ok
}

// ruleChange is that of a rule, or of a next hop that routes share.
func ruleChange() Change {
	return Change{NextHops: true, anyRoute: true, rules: true, defaults: true, anyUplink: true}
}

// touches says whether the route to an address may be another one than before.
func (c *Change) touches(to netip.Addr, before Route) bool {
	if c.anyRoute || before.Ifindex == 0 || c.isAbout(before.Ifindex) {
		return true
	}
	if len(c.routes) <= few {
		for prefix := range c.routes {
			if prefix.Contains(to) {
				return true
			}
		}
		return false
	}
	for bits := range to.BitLen() + 1 {
		if prefix, err := to.Prefix(bits); err == nil && c.routes[prefix] {
			return true
		}
	}
	return false
}

// isAbout says whether a device, its addresses or its routes have changed.
func (c *Change) isAbout(ifindex int) bool {
	return c.devices[ifindex] || c.addresses[ifindex] || c.gateways[ifindex]
}
