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
	// borrows is set if the source may be one of another device, which the kernel prefers
	// also to one of this device that is deprecated.
	borrows bool
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

// Learn finds the routes to many addresses at once, for Route.
func (h *Host) Learn(addresses []netip.Addr) error {
	var unknown []netip.Addr
	var bodies [][]byte
	asked := make(map[netip.Addr]bool)
	for _, to := range addresses {
		if _, known := h.known[to]; known || asked[to] {
			continue
		}
		asked[to] = true
		unknown = append(unknown, to)
		bodies = append(bodies, routeBody(to))
	}
	if len(unknown) == 0 {
		return nil
	}
	found, failures := make([]netlink.Route, len(unknown)), make([]error, len(unknown))
	err := h.namespace.Do(func() error {
		return withAsker(func(a *asker) error {
			return a.askEach(unix.RTM_GETROUTE, bodies, func(i int, data []byte, err error) {
				if err == nil {
					found[i], err = parseRoute(data)
				}
				failures[i] = err
			})
		})
	})
	if err != nil {
		return explain("ask for the routes", err)
	}
	for i, to := range unknown {
		h.known[to] = h.judge(to, found[i], failures[i])
	}
	return nil
}

// routeBody is the body of RTM_GETROUTE for an address.
func routeBody(to netip.Addr) []byte {
	body := make([]byte, unix.SizeofRtMsg, unix.SizeofRtMsg+unix.SizeofRtAttr+16)
	body[0], body[1] = unix.AF_INET6, uint8(to.BitLen())
	if to.Is4() {
		body[0] = unix.AF_INET
	}
	putFlags(body, unix.RTM_F_LOOKUP_TABLE)
	if to.Is6() {
		putFlags(body, 0)
	}
	return appendAttribute(body, unix.RTA_DST, to.AsSlice())
}

func (h *Host) findRoute(to netip.Addr) Route {
	if err := h.Learn([]netip.Addr{to}); err != nil {
		return Route{Why: fmt.Sprintf("the route to %s cannot be found: %v", to, err)}
	}
	return h.known[to]
}

// judge says what the kernel's answer about the route to an address means.
func (h *Host) judge(to netip.Addr, found netlink.Route, err error) Route {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EHOSTUNREACH):
		return Route{Why: fmt.Sprintf("the route to %s says that it must not be reached", to)}
	case err != nil:
		return Route{Why: fmt.Sprintf("there is no route to %s", to)}
	case found.Type == unix.RTN_LOCAL:
		return Route{Why: fmt.Sprintf("%s is routed to this host itself, though it is no address of a device", to)}
	case found.Type != unix.RTN_UNICAST:
		return Route{Why: fmt.Sprintf("%s is not the address of a single host", to)}
	}
	route := Route{
		Ifindex: found.LinkIndex,
		Gateway: gatewayOf(found),
		Source:  addrFrom(found.Src),
	}
	kernels := route.Source
	route.Source = h.addresses.lasting(kernels, route.Ifindex)
	for _, source := range []netip.Addr{kernels, route.Source} {
		route.borrows = route.borrows || !source.IsGlobalUnicast() || h.addresses.passing[source] || !h.hasOn(route.Ifindex, source)
	}
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
	// A router at the other end of a pair leads further, and may not be on this machine.
	// On a bridge it may be a container as any other.
	far := toOthers
	if d.kind == "bridge" {
		far = toEverybody
	} else if !d.isInside() {
		return false
	}
	for _, port := range h.devices {
		if d.kind == "bridge" && port.master == d && !port.isInside() {
			return false
		}
	}
	// Asked last, for it may take long.
	further := true
	_ = h.namespace.Do(func() error {
		further = h.routes.leadsTo(d.ifindex, far)
		return nil
	})
	return !further
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
