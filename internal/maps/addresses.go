// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// PutKnownAddresses makes the programs know which addresses are the host's own,
// which those of backends that are not this host, and which of these see their
// clients' addresses, and no others.
func (s *Set) PutKnownAddresses(local, backends, targets []netip.Addr) error {
	want := make(map[bpf.XfwdAddress]uint8, len(local)+len(backends))
	for _, a := range local {
		want[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_LOCAL)
	}
	for _, a := range backends {
		want[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_BACKEND)
	}
	for _, a := range targets {
		want[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_TARGET)
	}
	return replace(s.maps.KnownAddresses, want)
}
