// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// PutKnownAddresses makes the programs know which addresses are the host's own,
// which of these the device lo has, and which are those of backends that are not this
// host, and no others.
func (s *Set) PutKnownAddresses(local, onLoopback, targets []netip.Addr) error {
	want := make(map[bpf.XfwdAddress]uint8, len(local)+len(targets))
	for _, a := range local {
		want[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_LOCAL)
	}
	for _, a := range onLoopback {
		want[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_ON_LOOPBACK)
	}
	for _, a := range targets {
		want[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_TARGET)
	}
	return replace(s.maps.KnownAddresses, want)
}
