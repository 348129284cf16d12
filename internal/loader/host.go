// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// Host is what a command knows of the namespace's addresses, devices and routes.
// It is not safe for concurrent use.
type Host struct {
	namespace *Namespace
	devices   []*device
	byName    map[string]*device
	byIndex   map[int]*device
	addresses hostAddresses
	routes    *routes
	rules     rules
	// known are the routes that Route has found.
	known map[netip.Addr]Route
	// ephemeral are the ports that the kernel gives to the host's own sockets.
	ephemeral maps.PortRange
}

// Host looks at the namespace. What it returns asks for routes until the loader is
// closed.
func (l *Loader) Host() (*Host, error) {
	h := &Host{
		namespace: l.namespace,
		byName:    make(map[string]*device),
		byIndex:   make(map[int]*device),
		known:     make(map[netip.Addr]Route),
	}
	err := l.namespace.Do(func() (err error) {
		if h.devices, err = listDevices(); err != nil {
			return err
		}
		for _, d := range h.devices {
			h.byName[d.name], h.byIndex[d.ifindex] = d, d
			d.peer = d.leadsToOneHost()
		}
		if h.routes, err = listRoutes(); err != nil {
			return err
		}
		if h.rules, err = listRules(h.routes); err != nil {
			return err
		}
		if h.addresses, err = listAddresses(h.routes, h.holdsService); err != nil {
			return err
		}
		h.ephemeral, err = readPortRange(ephemeralPorts)
		return err
	})
	return h, err
}

// Ifindex returns the number of a device.
func (h *Host) Ifindex(name string) (ifindex int, ok bool) {
	d, ok := h.byName[name]
	if !ok {
		return 0, false
	}
	return d.ifindex, true
}

// Master returns the bridge, bond or team whose port a device is: that is where
// packets have arrived, as far as forwards are concerned. It is empty for other
// devices.
func (h *Host) Master(name string) string {
	if d := h.byName[name]; d != nil && d.master != nil {
		return d.master.name
	}
	return ""
}

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
	// Attach has put them there.
	xdp, err := d.Maps.XDPDevices()
	if err != nil {
		return err
	}
	devices := make(map[uint32]maps.Device, len(h.devices))
	for _, device := range h.devices {
		facts := device.facts()
		facts.Primary4 = h.addresses.primary4[device.ifindex]
		facts.Primary6 = h.addresses.primary6[device.ifindex]
		facts.RoutesAll4, facts.RoutesAll6 = h.routesAll(device, unix.AF_INET), h.routesAll(device, unix.AF_INET6)
		facts.XDP = slices.Contains(xdp, uint32(device.ifindex))
		// What XDP sends to a pair is received at its other end by itself.
		facts.Peer = facts.Peer && !facts.XDP
		devices[uint32(device.ifindex)] = facts
	}
	if err := d.Maps.PutDevices(devices); err != nil {
		return err
	}
	d.Settings.Primary4, d.Settings.Primary6 = h.addresses.host4, h.addresses.host6
	d.Settings.Ephemeral = h.ephemeral
	return d.EndNextHops()
}

// EndNextHops has the programs look up every next hop again.
func (d *Dataplane) EndNextHops() error {
	d.Settings.RouteGeneration++
	return d.Maps.PutSettings(d.Settings)
}
