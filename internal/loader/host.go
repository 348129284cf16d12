// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// Host is what a command knows of the namespace's addresses, devices and routes.
// It is not safe for concurrent use.
type Host struct {
	Devices
	namespace *Namespace
	addresses hostAddresses
	routes    *routes
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
		known:     make(map[netip.Addr]Route),
	}
	err := l.namespace.Do(func() (err error) {
		list, err := listDevices()
		if err != nil {
			return err
		}
		h.Devices = newDevices(list)
		for _, d := range h.devices {
			d.peer = d.leadsToOneHost()
		}
		if h.routes, err = listRoutes(); err != nil {
			return err
		}
		if h.addresses, err = listAddresses(h.routes); err != nil {
			return err
		}
		h.ephemeral, err = readPortRange(ephemeralPorts)
		return err
	})
	return h, err
}

// HasAddress says whether an address is the host's.
func (h *Host) HasAddress(a netip.Addr) bool {
	return a.IsLoopback() || slices.Contains(h.addresses.all, a)
}

// Addresses are the host's own addresses, of all devices and both families.
func (h *Host) Addresses() []netip.Addr { return h.addresses.all }

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
