// SPDX-License-Identifier: Apache-2.0

package loader

import (
	gomaps "maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/internal/netfilter"
)

// Host is what a command knows of the namespace's addresses, devices and routes.
// It is not safe for concurrent use.
type Host struct {
	Devices
	namespace *Namespace
	facts     facts
	addresses hostAddresses
	routes    *routes
	marks     *marks
	// known are the routes that Route has found.
	known map[netip.Addr]Route
	// ephemeral are the ports that the kernel gives to the host's own sockets.
	ephemeral maps.PortRange
	// rules are what those of netfilter do, once they were read, and unreadRules why some
	// could not be.
	reader      *netfilter.Reader
	rules       netfilter.Rules
	rulesRead   bool
	unreadRules error
}

// facts are what the kernel says of a namespace. All else that a Host knows is computed of
// them, so that those of one device can be asked for anew, and nothing else.
type facts struct {
	// By ifindex.
	links     map[int]netlink.Link
	addresses map[int][]netlink.Addr
	// peers says of one of a pair whether its other end, in another namespace, leads to
	// one host.
	peers map[int]bool
	// filters say which sources the kernel takes packets from that arrive by a device.
	filters map[int]maps.SourceFilter
	routes  *routes
	// local are the routes of the local table.
	local localRoutes
	// routing are the tables that rules name, rules those by marks.
	routing   routingRules
	rules     rules
	ephemeral maps.PortRange
	// usesPMTU: the kernel forwards IPv4 by what ICMP errors have said of paths.
	usesPMTU bool
}

// Host looks at the namespace. What it returns asks for routes until the loader is
// closed.
func (l *Loader) Host() (*Host, error) {
	var f facts
	err := l.namespace.Do(func() (err error) {
		f, err = readFacts()
		return err
	})
	h := newHost(l.namespace, f)
	h.reader = &l.rules
	return h, err
}

// readFacts asks for everything in the current namespace.
func readFacts() (facts, error) {
	f := facts{links: make(map[int]netlink.Link), addresses: make(map[int][]netlink.Addr)}
	links, err := listLinks()
	if err != nil {
		return f, err
	}
	for _, l := range links {
		f.links[l.Attrs().Index] = l
	}
	err = withAsker(func(a *asker) error {
		f.peers, err = a.peersOf(newDevices(links))
		return err
	})
	if err != nil {
		return f, err
	}
	f.filters = sourceFilters(newDevices(links))
	addresses, err := listAddresses(0)
	if err != nil {
		return f, err
	}
	for _, a := range addresses {
		f.addresses[a.LinkIndex] = append(f.addresses[a.LinkIndex], a)
	}
	if f.routes, err = listRoutes(); err != nil {
		return f, err
	}
	if f.rules, err = listRules(); err != nil {
		return f, err
	}
	if f.local, err = listLocalRoutes(); err != nil {
		return f, err
	}
	if f.routing, err = listRoutingRules(); err != nil {
		return f, err
	}
	for _, family := range families {
		if err := f.askDefaults(family); err != nil {
			return f, err
		}
	}
	if f.ephemeral, err = readPortRange(ephemeralPorts); err != nil {
		return f, err
	}
	value, err := readSysctl("net.ipv4.ip_forward_use_pmtu", shortSysctl)
	f.usesPMTU = value != "" && value != "0"
	return f, err
}

// newHost computes what is known of a host.
func newHost(namespace *Namespace, f facts) *Host {
	h := &Host{
		namespace: namespace,
		facts:     f,
		routes:    f.routes,
		known:     make(map[netip.Addr]Route),
		ephemeral: f.ephemeral,
	}
	if f.routes == nil {
		h.routes = newRoutes()
	}
	h.Devices = indexDevices(newDevices(slices.Collect(gomaps.Values(f.links))))
	var addresses []netlink.Addr
	for _, d := range h.devices {
		d.peer = f.peers[d.ifindex]
		d.filter = f.filters[d.ifindex]
		addresses = append(addresses, f.addresses[d.ifindex]...)
	}
	h.addresses = newHostAddresses(addresses, h.routes, f.local, h.holdsService)
	h.marks = newMarks(f.rules, h.devices)
	return h
}

// Ephemeral are the ports that the kernel gives to the host's own sockets.
func (h *Host) Ephemeral() maps.PortRange { return h.ephemeral }

// HasAddress says whether an address is the host's.
func (h *Host) HasAddress(a netip.Addr) bool {
	return h.addresses.has(a)
}

// Address is the host's own address of the family of an address, or the zero Addr.
func (h *Host) Address(ipv6 bool) netip.Addr {
	if ipv6 {
		return h.addresses.host6
	}
	return h.addresses.host4
}

// Tell makes the dataplane know the devices of the host and its settings as they
// are now, and ends every next hop. The caller has attached before, and tells
// about addresses by itself.
func (d *Dataplane) Tell(h *Host) error {
	marks, err := d.Maps.KeepMarks(h.marks.all())
	if err != nil {
		return err
	}
	devices, err := d.deviceFacts(h, marks)
	if err != nil {
		return err
	}
	if err := d.Maps.PutDevices(devices); err != nil {
		return err
	}
	d.Settings.Primary4, d.Settings.Primary6 = h.addresses.host4, h.addresses.host6
	d.Settings.Ephemeral = h.ephemeral
	return d.EndNextHops()
}

// deviceFacts are what the programs must know of the devices of a host, by ifindex, where
// marks have these keys.
func (d *Dataplane) deviceFacts(h *Host, marks maps.MarkKeys) (map[uint32]maps.Device, error) {
	// Attach has put them there.
	xdp, err := d.Maps.XDPDevices()
	if err != nil {
		return nil, err
	}
	devices := make(map[uint32]maps.Device, len(h.devices))
	for _, device := range h.devices {
		facts := device.facts()
		facts.Primary4 = h.addresses.primary4[device.ifindex]
		facts.Primary6 = h.addresses.primary6[device.ifindex]
		facts.RoutesAll4, facts.RoutesAll6 = h.routesAll(device, unix.AF_INET), h.routesAll(device, unix.AF_INET6)
		facts.RouteMTU4 = h.facts.usesPMTU || slices.Contains(h.routes.locked[unix.AF_INET], device.ifindex)
		facts.RouteMTU6 = slices.Contains(h.routes.locked[unix.AF_INET6], device.ifindex)
		facts.XDP = slices.Contains(xdp, uint32(device.ifindex))
		facts.Mark = marks[h.marks.byDevice[device.ifindex]]
		// What XDP sends to a pair is received at its other end by itself.
		facts.Peer = facts.Peer && !facts.XDP
		devices[uint32(device.ifindex)] = facts
	}
	return devices, nil
}

// EndNextHops has the programs look up every next hop again.
func (d *Dataplane) EndNextHops() error {
	d.Settings.RouteGeneration++
	return d.Maps.PutSettings(d.Settings)
}
