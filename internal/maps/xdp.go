// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// PutXDPDevices has XDP send through these devices, by ifindex, and no others.
// The kernel takes the numbers as those of the current thread's namespace. A
// device must be here before PutDevices says that XDP is in its driver.
func (s *Set) PutXDPDevices(ifindexes []uint32) error {
	have := make(map[uint32]bool)
	var ifindex, value uint32
	it := s.maps.XdpDevices.Iterate()
	for it.Next(&ifindex, &value) {
		have[ifindex] = true
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", s.maps.XdpDevices, err)
	}
	for _, ifindex := range ifindexes {
		if !have[ifindex] {
			if err := put(s.maps.XdpDevices, ifindex, ifindex); err != nil {
				return err
			}
		}
		delete(have, ifindex)
	}
	for ifindex := range have {
		if err := remove(s.maps.XdpDevices, ifindex); err != nil {
			return err
		}
	}
	return nil
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
		d.Flags &^= uint8(bpf.XfwdDeviceFlagDEVICE_XDP)
		if err := put(s.maps.Devices, ifindex, d); err != nil {
			return err
		}
	}
	return nil
}
