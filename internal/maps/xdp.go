// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// XDPDevices returns the devices that XDP may send through, by ifindex.
func (s *Set) XDPDevices() ([]uint32, error) {
	var ifindexes []uint32
	var ifindex, value uint32
	it := s.maps.XdpDevices.Iterate()
	for it.Next(&ifindex, &value) {
		ifindexes = append(ifindexes, ifindex)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map %s: %w", s.maps.XdpDevices, err)
	}
	return ifindexes, nil
}

// PutXDPDevices has XDP send through these devices, by ifindex, and no others.
// The kernel takes the numbers as those of the current thread's namespace. A
// device must be here before PutDevices says that XDP is in its driver.
func (s *Set) PutXDPDevices(ifindexes []uint32) error {
	have, err := s.XDPDevices()
	if err != nil {
		return err
	}
	for _, ifindex := range ifindexes {
		if !slices.Contains(have, ifindex) {
			if err := put(s.maps.XdpDevices, ifindex, ifindex); err != nil {
				return err
			}
		}
	}
	var gone []uint32
	for _, ifindex := range have {
		if !slices.Contains(ifindexes, ifindex) {
			gone = append(gone, ifindex)
		}
	}
	return removeAll(s.maps.XdpDevices, gone)
}

// ForgetXDP tells the programs that XDP is not in the driver of these devices any
// more. What they know of next hops stays as it is until the settings have
// another route generation.
func (s *Set) ForgetXDP(ifindexes []uint32) error {
	for _, ifindex := range ifindexes {
		var d bpf.XfwdDevice
		err := s.maps.Devices.Lookup(ifindex, &d)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read map %s: %w", s.maps.Devices, err)
		}
		d.Flags &^= uint16(bpf.XfwdDeviceFlagDEVICE_XDP)
		if err := put(s.maps.Devices, ifindex, d); err != nil {
			return err
		}
	}
	return nil
}
