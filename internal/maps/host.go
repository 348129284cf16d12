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
}

// PutDevices makes the programs know these devices, by ifindex, and no others.
func (s *Set) PutDevices(devices map[uint32]Device) error {
	want := make(map[uint32]bpf.XfwdDevice, len(devices))
	for ifindex, d := range devices {
		want[ifindex] = bpf.XfwdDevice{
			Primary4: addressToKernel(d.Primary4),
			Primary6: addressToKernel(d.Primary6),
		}
	}
	return replace(s.maps.Devices, want)
}

// PutLocalAddresses makes the programs know these addresses of the host and no
// others.
func (s *Set) PutLocalAddresses(addresses []netip.Addr) error {
	want := make(map[bpf.XfwdAddress]uint8, len(addresses))
	for _, a := range addresses {
		want[addressToKernel(a)] = 1
	}
	return replace(s.maps.LocalAddresses, want)
}
