// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is the way from the namespace to an address that is not its own.
type Route struct {
	// Device is the name of the device that leads there, Ifindex its number.
	Device  string
	Ifindex int
	// Gateway is the next router, or the zero Addr if there is none.
	Gateway netip.Addr
	// Source is the address that the host itself would use.
	Source netip.Addr
	// Behind is set if what the other end answers to anybody comes back through
	// this host.
	Behind bool
	// Down is set if the device can send nothing for now: its cable is out, or the
	// other end of its pair is down.
	Down bool
	// Why says why so, or why there is no route: a clause with no full stop.
	Why string
}

// Route asks the kernel for the route to an address. False: there is none that
// leads to another machine, and Route.Why says so. The answer is remembered.
func (h *Host) Route(to netip.Addr) (Route, bool) {
	route, known := h.known[to]
	if !known {
		route = h.findRoute(to)
		h.known[to] = route
	}
	return route, route.Ifindex != 0
}

func (h *Host) findRoute(to netip.Addr) Route {
	var found []netlink.Route
	err := h.namespace.Do(func() (err error) {
		found, err = netlink.RouteGet(to.AsSlice())
		return err
	})
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EHOSTUNREACH):
		return Route{Why: fmt.Sprintf("the route to %s says that it must not be reached", to)}
	case err != nil, len(found) == 0:
		return Route{Why: fmt.Sprintf("there is no route to %s", to)}
	case found[0].Type == unix.RTN_LOCAL:
		return Route{Why: fmt.Sprintf("%s is routed to this host itself, though it is no address of a device", to)}
	case found[0].Type != unix.RTN_UNICAST:
		return Route{Why: fmt.Sprintf("%s is not the address of a single host", to)}
	}
	route := Route{
		Ifindex: found[0].LinkIndex,
		Gateway: gatewayOf(found[0]),
		Source:  addrFrom(found[0].Src),
	}
	route.Source = h.addresses.lasting(route.Source, route.Ifindex)
	device := h.byIndex[route.Ifindex]
	if device == nil {
		return Route{Why: fmt.Sprintf("the device that leads to %s has gone", to)}
	}
	route.Device, route.Down = device.name, device.down
	switch {
	case route.Gateway.IsValid():
		route.Why = fmt.Sprintf("%s is reached by the gateway %s", to, route.Gateway)
	case h.leadsInside(device):
		route.Behind = true
		route.Why = fmt.Sprintf("%s is behind this host on %s", to, route.Device)
	default:
		route.Why = fmt.Sprintf("%s is another machine on %s, whose answers would not come back through this host", to, route.Device)
	}
	return route
}

// leadsInside says whether a device leads to containers and virtual machines of
// this host only, whose way out is this host. That their default route is this host
// nothing here can prove; a route of this host that leads to everybody by that
// device proves that it is not.
func (h *Host) leadsInside(d *device) bool {
	if h.routes.uplinks[d.ifindex] {
		return false
	}
	if d.kind != "bridge" {
		// A router at the other end leads further, and may not be on this machine.
		return d.isInside() && !h.routes.gateways[d.ifindex]
	}
	// On a bridge a router to some other network may be a container as any other.
	for _, port := range h.devices {
		if port.master == d && !port.isInside() {
			return false
		}
	}
	return true
}

// isInside says whether what is at the other end of a device is on this machine,
// as far as its kind tells.
func (d *device) isInside() bool {
	switch d.kind {
	case "veth", "netkit", "dummy":
		return true
	case "tuntap":
		// Others are tunnels, to machines that have a default route of their own.
		return d.machine
	}
	return false
}

// gatewayOf returns the next router of a route, which may be one of IPv6 for a
// route of IPv4.
func gatewayOf(route netlink.Route) netip.Addr {
	if via, is := route.Via.(*netlink.Via); is {
		return addrFrom(via.Addr)
	}
	return addrFrom(route.Gw)
}
