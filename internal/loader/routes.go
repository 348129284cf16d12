// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"maps"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routes is what must be known of the routes of a namespace as a whole. A host may have
// a million of them, so no more are read than are needed: by default those that are first
// in the kernel's table.
type routes struct {
	// default4 and default6 are the devices of the default routes of the main
	// table, by ifindex, in their order.
	default4, default6 []int
	// uplinks are the devices, by ifindex, by which the host itself reaches others: by a
	// gateway, or by default. Those that nobody has asked for are missing.
	uplinks map[int]bool
	// defaults says of tables whether they have a route for every destination. Tables that
	// nobody has asked for are missing.
	defaults map[routeTable]bool
}

// routeTable is the table of a family.
type routeTable struct {
	family uint8
	table  int
}

func newRoutes() *routes {
	return &routes{uplinks: make(map[int]bool), defaults: make(map[routeTable]bool)}
}

// mostAsked is how many devices are asked for one by one whether they are uplinks. For
// each of them the kernel looks through all routes; from then on all are read once.
const mostAsked = 8

var families = []uint8{unix.AF_INET, unix.AF_INET6}

// listRoutes reads the default routes of the current namespace. Of a table that changes
// all the time it may miss some.
func listRoutes() (*routes, error) {
	r := newRoutes()
	for _, family := range families {
		if err := r.readDefaults(family); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// clone returns a copy that knows the default routes and the uplinks that r knows.
func (r *routes) clone() *routes {
	return &routes{default4: r.default4, default6: r.default6, uplinks: maps.Clone(r.uplinks), defaults: maps.Clone(r.defaults)}
}

// readDefaults reads the default routes of the main table of a family anew. What was known
// of other tables of the family is forgotten.
func (r *routes) readDefaults(family uint8) error {
	maps.DeleteFunc(r.defaults, func(t routeTable, _ bool) bool { return t.family == family })
	defaults := &r.default4
	if family == unix.AF_INET6 {
		defaults = &r.default6
		if hops, found := onlyDefault6(); found {
			*defaults = hops
			r.defaults[routeTable{family, unix.RT_TABLE_MAIN}] = true
			return nil
		}
	}
	*defaults = nil
	r.defaults[routeTable{family, unix.RT_TABLE_MAIN}] = false
	return dumpRoutes(family, unix.RT_TABLE_MAIN, 0, func(route netlink.Route) bool {
		if isDefault(route) {
			r.noteDefault(family, route)
			if route.Type == unix.RTN_UNICAST {
				for _, hop := range hopsOf(route) {
					*defaults = append(*defaults, hop.LinkIndex)
				}
			}
			return true
		}
		// IPv4 lists its routes by their prefixes in ascending order, IPv6 its default
		// routes last.
		return family == unix.AF_INET6
	})
}

// onlyDefault6 asks for the default route of IPv6 without a look at all others: by an
// address that no other route is likely to have. It is not found if there is another one
// for that address, or if the main table is not the one that is asked.
func onlyDefault6() (hops []int, found bool) {
	// 3fff::/20 is for documentation (RFC 9637), so it is in no table.
	destination := []byte{0x3f, 0xff, 0x0f, 0xff, 15: 1}
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[1] = unix.AF_INET6, 128
	putFlags(body, unix.RTM_F_FIB_MATCH)
	body = appendAttribute(body, unix.RTA_DST, destination)
	_ = withAsker(func(a *asker) error {
		return a.askEach(unix.RTM_GETROUTE, [][]byte{body}, func(_ int, data []byte, err error) {
			if err != nil {
				return
			}
			route, err := parseRoute(data)
			if err != nil || !isDefault(route) || route.Table != unix.RT_TABLE_MAIN || route.Type != unix.RTN_UNICAST {
				return
			}
			found = true
			for _, hop := range hopsOf(route) {
				hops = append(hops, hop.LinkIndex)
			}
		})
	})
	return hops, found
}

// isUplink says whether the host itself reaches others by a device. To be asked in its
// namespace.
func (r *routes) isUplink(ifindex int) bool {
	is, known := r.uplinks[ifindex]
	if known {
		return is
	}
	only := ifindex
	if len(r.uplinks) >= mostAsked {
		only = 0
	}
	for _, family := range families {
		_ = dumpRoutes(family, unix.RT_TABLE_UNSPEC, only, func(route netlink.Route) bool {
			if r.note(route); only == 0 {
				return true
			}
			return !r.uplinks[ifindex]
		})
	}
	if !r.uplinks[ifindex] {
		r.uplinks[ifindex] = false
	}
	return r.uplinks[ifindex]
}

// note notes the uplinks that a route tells.
func (r *routes) note(route netlink.Route) {
	if route.Type != unix.RTN_UNICAST {
		return
	}
	for _, hop := range hopsOf(route) {
		if hop.Gw != nil || hop.Via != nil || isDefault(route) {
			r.uplinks[hop.LinkIndex] = true
		}
	}
}

// hopsOf are the next hops of a route.
func hopsOf(route netlink.Route) []*netlink.NexthopInfo {
	if len(route.MultiPath) > 0 {
		return route.MultiPath
	}
	return []*netlink.NexthopInfo{{LinkIndex: route.LinkIndex, Gw: route.Gw, Via: route.Via}}
}

func isDefault(route netlink.Route) bool {
	if route.Dst == nil {
		return true
	}
	ones, _ := route.Dst.Mask.Size()
	return ones == 0
}

// dumpRoutes calls f for the routes of a table, or of all, by a device, or by all, until
// it returns false. The kernel does not list the cached ones.
func dumpRoutes(family uint8, table, ifindex int, f func(netlink.Route) bool) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[4] = family, uint8(table)
	if ifindex != 0 {
		body = appendAttribute(body, unix.RTA_OIF, uint32Bytes(ifindex))
	}
	var failed error
	err := dumpOf("routes", unix.RTM_GETROUTE, body, func(_ uint16, data []byte) bool {
		counted.routes.Add(1)
		route, err := parseRoute(data)
		switch {
		case err != nil:
			failed = err
			return false
		case table != unix.RT_TABLE_UNSPEC && route.Table != table, route.Flags&unix.RTM_F_CLONED != 0:
			return true
		}
		return f(route)
	})
	// A table or a family that is not there has no routes.
	if errors.Is(err, netlink.ErrDumpInterrupted) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	return errors.Join(failed, explain("list the routes", err))
}
