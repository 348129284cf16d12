// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routes is what must be known of the routes of a namespace as a whole.
type routes struct {
	// default4 and default6 are the devices of the default routes of the main
	// table, by ifindex, in their order.
	default4, default6 []int
	// uplinks are the devices by which the host itself reaches others: by a
	// gateway, or by default.
	uplinks map[int]bool
	// local are the destinations that the host takes for itself, with the devices
	// that its local table names; broadcast and anycast are the other addresses there.
	local              map[netip.Prefix]int
	broadcast, anycast []netip.Addr
	// defaults are the tables that have a route for every destination, by family.
	defaults map[routeTable]bool
}

// routeTable is the table of a family.
type routeTable struct{ family, table int }

// listRoutes reads the routes of the current namespace, of all tables. Of a table
// that changes all the time it may miss some.
func listRoutes() (*routes, error) {
	r := &routes{
		uplinks:  make(map[int]bool),
		local:    make(map[netip.Prefix]int),
		defaults: make(map[routeTable]bool),
	}
	for family, defaults := range map[int]*[]int{unix.AF_INET: &r.default4, unix.AF_INET6: &r.default6} {
		every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		err := netlink.RouteListFilteredIter(family, every, netlink.RT_FILTER_TABLE, func(route netlink.Route) bool {
			r.note(route, defaults)
			return true
		})
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, explain("list the routes", err)
		}
	}
	return r, nil
}

func (r *routes) note(route netlink.Route, defaults *[]int) {
	r.noteLocal(route)
	if route.Type != unix.RTN_UNICAST {
		return
	}
	isDefault := route.Dst == nil || isZeroLength(route)
	hops := route.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: route.LinkIndex, Gw: route.Gw, Via: route.Via}}
	}
	for _, hop := range hops {
		if hop.Gw != nil || hop.Via != nil || isDefault {
			r.uplinks[hop.LinkIndex] = true
		}
		if isDefault && route.Table == unix.RT_TABLE_MAIN {
			*defaults = append(*defaults, hop.LinkIndex)
		}
	}
}

func isZeroLength(route netlink.Route) bool {
	ones, _ := route.Dst.Mask.Size()
	return ones == 0
}
