// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// Device is what the programs know of a device.
type Device struct {
	// Primary4 and Primary6 are its first global addresses, or the zero Addr.
	Primary4, Primary6 netip.Addr
	// Network is the ifindex of the device where its IP layer is: its own, or
	// that of the bridge, bond or team that it is a port of.
	Network uint32
	// MTU is how many bytes an IP packet may have that leaves by it.
	MTU uint32
	// Address is the link-layer address of Network, if Ethernet is set: its
	// packets begin with an Ethernet header.
	Address  [6]byte
	Ethernet bool
	// Peer is set for one of a pair, the other of which is in another namespace.
	Peer bool
	// XDP is set if our XDP program is in its driver.
	XDP bool
	// RoutesAll4 and RoutesAll6 say of packets that arrive by it that an address
	// to which the routing table does not forward is the host's.
	RoutesAll4, RoutesAll6 bool
	// RouteMTU4 and RouteMTU6 say that the kernel forwards by it with the MTU of the
	// route.
	RouteMTU4, RouteMTU6 bool
	// Stacked is set for a device that hands its packets as they are to one below.
	Stacked bool
	// Sources says which sources the kernel takes packets of IPv4 from that arrive by it.
	Sources SourceFilter
	// Mark is the key of the mark by which routing rules lead there, or 0.
	Mark uint8
}

// SourceFilter is rp_filter (RFC 3704), as the kernel has it of a device.
type SourceFilter int

const (
	// FilterNothing takes packets from everywhere.
	FilterNothing SourceFilter = iota
	// FilterStrictly takes those to whose source a route leads by the device.
	FilterStrictly
	// FilterLoosely takes those to whose source any route leads.
	FilterLoosely
)

// PutDevices makes the programs know these devices, by ifindex, and no others.
func (s *Set) PutDevices(devices map[uint32]Device) error {
	want := make(map[uint32]bpf.XfwdDevice, len(devices))
	for ifindex, d := range devices {
		want[ifindex] = d.toKernel()
	}
	return replace(s.maps.Devices, want)
}

// ChangeDevices makes the programs know these devices as they are now, by ifindex, and
// forget others.
func (s *Set) ChangeDevices(changed map[uint32]Device, gone []uint32) error {
	var ifindexes []uint32
	var values []bpf.XfwdDevice
	for ifindex, d := range changed {
		ifindexes, values = append(ifindexes, ifindex), append(values, d.toKernel())
	}
	if err := removeAll(s.maps.Devices, gone); err != nil {
		return err
	}
	return putAll(s.maps.Devices, ifindexes, values)
}

// HasDevices says whether the programs know exactly these devices, by ifindex.
func (s *Set) HasDevices(devices map[uint32]Device) (bool, error) {
	known, err := entries[uint32, bpf.XfwdDevice](s.maps.Devices)
	if err != nil || len(known) != len(devices) {
		return false, err
	}
	for ifindex, d := range devices {
		if known[ifindex] != d.toKernel() {
			return false, nil
		}
	}
	return true, nil
}

func (d Device) toKernel() bpf.XfwdDevice {
	return bpf.XfwdDevice{
		Primary4:       addressToKernel(d.Primary4),
		Primary6:       addressToKernel(d.Primary6),
		NetworkIfindex: d.Network,
		Mtu:            d.MTU,
		Address:        d.Address,
		Flags:          d.flags(),
		Mark:           d.Mark,
	}
}

func (d Device) flags() uint16 {
	var flags bpf.XfwdDeviceFlag
	if d.Ethernet {
		flags |= bpf.XfwdDeviceFlagDEVICE_ETHERNET
	}
	if d.Peer {
		flags |= bpf.XfwdDeviceFlagDEVICE_PEER
	}
	if d.XDP {
		flags |= bpf.XfwdDeviceFlagDEVICE_XDP
	}
	if d.RoutesAll4 {
		flags |= bpf.XfwdDeviceFlagDEVICE_ROUTES_ALL4
	}
	if d.RoutesAll6 {
		flags |= bpf.XfwdDeviceFlagDEVICE_ROUTES_ALL6
	}
	if d.RouteMTU4 {
		flags |= bpf.XfwdDeviceFlagDEVICE_ROUTE_MTU4
	}
	if d.RouteMTU6 {
		flags |= bpf.XfwdDeviceFlagDEVICE_ROUTE_MTU6
	}
	if d.Stacked {
		flags |= bpf.XfwdDeviceFlagDEVICE_STACKED
	}
	switch d.Sources {
	case FilterStrictly:
		flags |= bpf.XfwdDeviceFlagDEVICE_SOURCE_THERE4
	case FilterLoosely:
		flags |= bpf.XfwdDeviceFlagDEVICE_SOURCE_ROUTED4
	}
	return uint16(flags)
}
