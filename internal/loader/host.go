// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/internal/maps"
)

// Host is what a command knows of the namespace's addresses and devices.
type Host struct {
	addresses hostAddresses
	ifindexes map[string]int
	masters   map[string]string
}

// Host looks at the namespace.
func (l *Loader) Host() (*Host, error) {
	h := &Host{ifindexes: make(map[string]int), masters: make(map[string]string)}
	err := l.namespace.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return explain("list the devices", err)
		}
		names := make(map[int]string, len(links))
		for _, link := range links {
			names[link.Attrs().Index] = link.Attrs().Name
			h.ifindexes[link.Attrs().Name] = link.Attrs().Index
		}
		devices, err := listDevices()
		if err != nil {
			return err
		}
		for _, link := range links {
			a := link.Attrs()
			skipped := slices.ContainsFunc(devices, func(d device) bool { return d.ifindex == a.Index && d.skip != "" })
			if skipped && a.MasterIndex != 0 {
				h.masters[a.Name] = names[a.MasterIndex]
			}
		}
		h.addresses, err = listAddresses()
		return err
	})
	return h, err
}

// Ifindex returns the number of a device.
func (h *Host) Ifindex(name string) (ifindex int, ok bool) {
	ifindex, ok = h.ifindexes[name]
	return ifindex, ok
}

// Master returns the bridge, bond or team whose port a device is: packets are
// handled there instead. It is empty for other devices.
func (h *Host) Master(name string) string { return h.masters[name] }

// HasAddress says whether an address is the host's.
func (h *Host) HasAddress(a netip.Addr) bool {
	return a.IsLoopback() || slices.Contains(h.addresses.all, a)
}

// Address is the host's own address of the family of an address, or the zero Addr.
func (h *Host) Address(ipv6 bool) netip.Addr {
	if ipv6 {
		return h.addresses.host6
	}
	return h.addresses.host4
}

// Tell makes the dataplane know the host as it is now.
func (d *Dataplane) Tell(h *Host) error {
	if err := d.Maps.PutLocalAddresses(h.addresses.all); err != nil {
		return err
	}
	devices := make(map[uint32]maps.Device)
	for _, ifindex := range h.ifindexes {
		devices[uint32(ifindex)] = maps.Device{
			Primary4: h.addresses.primary4[ifindex],
			Primary6: h.addresses.primary6[ifindex],
		}
	}
	if err := d.Maps.PutDevices(devices); err != nil {
		return err
	}
	if d.Settings.Primary4 == h.addresses.host4 && d.Settings.Primary6 == h.addresses.host6 {
		return nil
	}
	d.Settings.Primary4, d.Settings.Primary6 = h.addresses.host4, h.addresses.host6
	return d.Maps.PutSettings(d.Settings)
}
