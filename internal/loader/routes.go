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
	// locked are those of them, by family, whose route locks its MTU.
	locked map[uint8][]int
	// reaches are how far devices lead, by ifindex, at least. Those that nobody has asked for
	// are missing.
	reaches map[int]reach
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
	return &routes{reaches: make(map[int]reach), defaults: make(map[routeTable]bool), locked: make(map[uint8][]int)}
}

// reach is how far a device leads this host.
type reach int

const (
	// toNetwork is to the networks on it only.
	toNetwork reach = iota
	// toOthers is to other networks, through a router there.
	toOthers
	// toEverybody is what an uplink leads to.
	toEverybody
)

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

// clone returns a copy that knows what r knows.
func (r *routes) clone() *routes {
	return &routes{default4: r.default4, default6: r.default6, reaches: maps.Clone(r.reaches), defaults: maps.Clone(r.defaults), locked: maps.Clone(r.locked)}
}

// readDefaults reads the default routes of the main table of a family anew. What was known
// of other tables of the family is forgotten.
func (r *routes) readDefaults(family uint8) error {
	maps.DeleteFunc(r.defaults, func(t routeTable, _ bool) bool { return t.family == family })
	r.defaults[routeTable{family, unix.RT_TABLE_MAIN}] = false
	found, err := defaultRoutes(family)
	var defaults, locked []int
	for _, route := range found {
		r.noteDefault(family, route)
		if route.Type != unix.RTN_UNICAST {
			continue
		}
		for _, hop := range hopsOf(route) {
			defaults = append(defaults, hop.LinkIndex)
			if route.MTULock {
				locked = append(locked, hop.LinkIndex)
			}
		}
	}
	r.locked[family] = locked
	if family == unix.AF_INET6 {
		r.default6 = defaults
	} else {
		r.default4 = defaults
	}
	return err
}

// defaultRoutes returns the default routes of the main table of a family, of any type, in
// their order. Of several of IPv6 it may be the best only.
func defaultRoutes(family uint8) (defaults []netlink.Route, err error) {
	if family == unix.AF_INET6 {
		if route, found := onlyDefault6(); found {
			return []netlink.Route{route}, nil
		}
	}
	err = dumpRoutes(family, unix.RT_TABLE_MAIN, 0, func(route netlink.Route) bool {
		if isDefault(route) {
			defaults = append(defaults, route)
			return true
		}
		// IPv4 lists its routes by their prefixes in ascending order, IPv6 its default
		// routes last.
		return family == unix.AF_INET6
	})
	return defaults, err
}

// onlyDefault6 asks for the default route of IPv6 without a look at all others: by an
// address that no other route is likely to have. It is not found if there is another one
// for that address, or if the main table is not the one that is asked.
func onlyDefault6() (only netlink.Route, found bool) {
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
			if err == nil && isDefault(route) && route.Table == unix.RT_TABLE_MAIN && route.Type == unix.RTN_UNICAST {
				only, found = route, true
			}
		})
	})
	return only, found
}

// leadsTo says whether a device leads this host so far, or further. To be asked in its
// namespace.
func (r *routes) leadsTo(ifindex int, far reach) bool {
	leads, known := r.reaches[ifindex]
	if known {
		return leads >= far
	}
	only := ifindex
	if len(r.reaches) >= mostAsked {
		only = 0
	}
	for _, family := range families {
		_ = dumpRoutes(family, unix.RT_TABLE_UNSPEC, only, func(route netlink.Route) bool {
			if r.note(route); only == 0 {
				return true
			}
			return r.reaches[ifindex] < far
		})
	}
	leads = r.reaches[ifindex]
	r.reaches[ifindex] = leads
	return leads >= far
}

// note notes how far a route leads.
func (r *routes) note(route netlink.Route) {
	if route.Type != unix.RTN_UNICAST {
		return
	}
	for _, hop := range hopsOf(route) {
		if far := reachOf(route, hop); far > toNetwork {
			r.reaches[hop.LinkIndex] = max(far, r.reaches[hop.LinkIndex])
		}
	}
}

// reachOf is how far a route leads by one of its next hops.
func reachOf(route netlink.Route, hop *netlink.NexthopInfo) reach {
	switch {
	case prefixLength(route) <= widest(route.Family):
		return toEverybody
	case hop.Gw != nil, hop.Via != nil:
		return toOthers
	}
	return toNetwork
}

// hopsOf are the next hops of a route.
func hopsOf(route netlink.Route) []*netlink.NexthopInfo {
	if len(route.MultiPath) > 0 {
		return route.MultiPath
	}
	return []*netlink.NexthopInfo{{LinkIndex: route.LinkIndex, Gw: route.Gw, Via: route.Via}}
}

func isDefault(route netlink.Route) bool {
	return prefixLength(route) == 0
}

// widest is the length of prefixes that stand for everybody: the two halves of IPv4, and the
// eighth of IPv6 that has all global addresses.
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

// dumpRoutes calls f for the routes of a table, or of all, by a device, or by all, until
// it returns false. The kernel does not list the cached ones.
func dumpRoutes(family uint8, table, ifindex int, f func(netlink.Route) bool) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family
	if table != unix.RT_TABLE_UNSPEC {
		body = appendAttribute(body, unix.RTA_TABLE, uint32Bytes(table))
	}
	if ifindex != 0 {
		body = appendAttribute(body, unix.RTA_OIF, uint32Bytes(ifindex))
	}
	return dumpRoutesLike(body, table, f)
}

// advertised returns the devices, by ifindex, with a route of IPv6 that a router
// advertisement has made. To be asked in their namespace.
func advertised() map[int]bool {
	devices := make(map[int]bool)
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[5] = unix.AF_INET6, unix.RTPROT_RA
	_ = dumpRoutesLike(body, unix.RT_TABLE_UNSPEC, func(route netlink.Route) bool {
		if route.Protocol != unix.RTPROT_RA {
			return true
		}
		for _, hop := range hopsOf(route) {
			devices[hop.LinkIndex] = true
		}
		return true
	})
	return devices
}

// dumpRoutesLike calls f for the routes, of a table or of all, that a request describes,
// until it returns false.
func dumpRoutesLike(body []byte, table int, f func(netlink.Route) bool) error {
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
