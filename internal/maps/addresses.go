// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// KnownAddresses are the addresses that mean something to the programs.
type KnownAddresses struct {
	// Local are the host's own single addresses.
	Local map[netip.Addr]LocalAddress
	// Prefixes are the host's own whole, though no device has their addresses.
	Prefixes []netip.Prefix
	// Broadcast are the broadcast addresses of its networks.
	Broadcast []netip.Addr
	// Targets are those of backends that are not the host and see their clients'
	// addresses.
	Targets []netip.Addr
}

// LocalAddress is what the programs know of an address of the host.
type LocalAddress struct {
	// Service is set for one that only a frontend which names it means.
	Service bool
	// Network is the one that it is in, or the zero Prefix. Answers is the address from
	// which the kernel answers clients there, if a program leaves the choice to it.
	Network netip.Prefix
	Answers netip.Addr
}

// PutKnownAddresses makes the programs know these addresses, and no others.
func (s *Set) PutKnownAddresses(known KnownAddresses) error {
	want := make(map[bpf.XfwdAddress]bpf.XfwdKnownAddress, len(known.Local)+len(known.Targets))
	note := func(a netip.Addr, flag bpf.XfwdAddressFlag) {
		k := want[addressToKernel(a)]
		k.Flags |= uint8(flag)
		want[addressToKernel(a)] = k
	}
	for a, local := range known.Local {
		note(a, bpf.XfwdAddressFlagADDRESS_LOCAL)
		if local.Service {
			note(a, bpf.XfwdAddressFlagADDRESS_SERVICE)
		}
		k := want[addressToKernel(a)]
		k.NetworkBits = addressBits
		if local.Network.IsValid() {
			k.NetworkBits, k.Answers = uint8(prefixBits(local.Network)), addressToKernel(local.Answers)
		}
		want[addressToKernel(a)] = k
	}
	for _, a := range known.Broadcast {
		note(a, bpf.XfwdAddressFlagADDRESS_BROADCAST)
	}
	for _, a := range known.Targets {
		note(a, bpf.XfwdAddressFlagADDRESS_TARGET)
	}
	prefixes := make(map[bpf.XfwdLocalPrefixKey]uint8, len(known.Prefixes))
	for _, p := range known.Prefixes {
		key := bpf.XfwdLocalPrefixKey{PrefixLength: uint32(prefixBits(p)), Address: addressToKernel(p.Masked().Addr())}
		prefixes[key] = uint8(bpf.XfwdAddressFlagADDRESS_LOCAL)
	}
	if err := replace(s.maps.LocalPrefixes, prefixes); err != nil {
		return err
	}
	return replace(s.maps.KnownAddresses, want)
}

// addressBits is how many bits an address has in the programs, where IPv4 has the
// last 32.
const addressBits = 128

// prefixBits is the length of a prefix among these.
func prefixBits(p netip.Prefix) int { return addressBits - p.Addr().BitLen() + p.Bits() }
