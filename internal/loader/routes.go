// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routes is what must be known of the routes of a namespace as a whole.
type routes struct {
	ipv4, ipv6 familyRoutes
	// uplinks are the devices by which the host itself reaches everybody, and
	// gateways those by which it reaches other networks, through a router there.
	uplinks, gateways map[int]bool
}

// familyRoutes are those of one family.
type familyRoutes struct {
	// defaults are the devices of the default routes of the main table, by
	// ifindex, in their order.
	defaults []int
	// tables are the routing tables, by number.
	tables map[int]*tableRoutes
}

// of returns those of a family.
func (r *routes) of(family int) *familyRoutes {
	if family == unix.AF_INET6 {
		return &r.ipv6
	}
	return &r.ipv4
}

// listRoutes reads the routes of the current namespace, of all tables. Of a table
// that changes all the time it may miss some.
func listRoutes() (*routes, error) {
	r := &routes{uplinks: make(map[int]bool), gateways: make(map[int]bool)}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		those := r.of(family)
		those.tables = make(map[int]*tableRoutes)
		every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		err := netlink.RouteListFilteredIter(family, every, netlink.RT_FILTER_TABLE, func(route netlink.Route) bool {
			r.note(route, those)
			return true
		})
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, explain("list the routes", err)
		}
	}
	return r, nil
}

func (r *routes) note(route netlink.Route, family *familyRoutes) {
	if route.Type != unix.RTN_UNICAST {
		return
	}
	length := prefixLength(route)
	hops := route.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: route.LinkIndex, Gw: route.Gw, Via: route.Via}}
	}
	for _, hop := range hops {
		gateway := gatewayOf(netlink.Route{Gw: hop.Gw, Via: hop.Via})
		if length <= widest(route.Family) {
			r.uplinks[hop.LinkIndex] = true
		}
		if gateway.IsValid() {
			r.gateways[hop.LinkIndex] = true
		}
		if length == 0 && route.Table == unix.RT_TABLE_MAIN {
			family.defaults = append(family.defaults, hop.LinkIndex)
		}
		if length == 0 || gateway.IsValid() {
			table := family.tables[route.Table]
			if table == nil {
				table = new(tableRoutes)
				family.tables[route.Table] = table
			}
			table.note(nextRouter{hop.LinkIndex, gateway}, length == 0, route.Priority)
		}
	}
}

// widest is the length of prefixes that stand for everybody: the two halves of IPv4,
// and the eighth of IPv6 that has all global addresses.
func widest(family int) int {
	if family == unix.AF_INET6 {
		return 3
	}
	return 1
}

// prefixLength is 0 for a default route.
func prefixLength(route netlink.Route) int {
	if route.Dst == nil {
		return 0
	}
	ones, _ := route.Dst.Mask.Size()
	return ones
}
