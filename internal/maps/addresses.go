// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	gomaps "maps"
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// LocalAddresses are the addresses of the host.
type LocalAddresses struct {
	// Single are those that it has one by one.
	Single map[netip.Addr]LocalAddress
	// Prefixes are the host's own whole, though no device has their addresses.
	Prefixes []netip.Prefix
	// Broadcast are the broadcast addresses of its networks.
	Broadcast []netip.Addr
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

// KnownAddresses are addresses that the programs know something of.
type KnownAddresses struct {
	single   map[bpf.XfwdAddress]bpf.XfwdKnownAddress
	prefixes map[bpf.XfwdLocalPrefixKey]uint8
}

const (
	flagLocal     = uint8(bpf.XfwdAddressFlagADDRESS_LOCAL)
	flagTarget    = uint8(bpf.XfwdAddressFlagADDRESS_TARGET)
	flagBackend   = uint8(bpf.XfwdAddressFlagADDRESS_BACKEND)
	flagService   = uint8(bpf.XfwdAddressFlagADDRESS_SERVICE)
	flagBroadcast = uint8(bpf.XfwdAddressFlagADDRESS_BROADCAST)
	// flagsOfBackends have nothing to do with the host.
	flagsOfBackends = flagTarget | flagBackend
)

// NewKnownAddresses says which addresses are the host's own, which those of backends that
// are not this host, and which of these see their clients' addresses.
func NewKnownAddresses(local LocalAddresses, backends, targets []netip.Addr) KnownAddresses {
	known := KnownAddresses{
		single:   make(map[bpf.XfwdAddress]bpf.XfwdKnownAddress, len(local.Single)+len(backends)),
		prefixes: make(map[bpf.XfwdLocalPrefixKey]uint8, len(local.Prefixes)),
	}
	for a, l := range local.Single {
		k := bpf.XfwdKnownAddress{NetworkBits: addressBits, Flags: flagLocal}
		if l.Service {
			k.Flags |= flagService
		}
		if l.Network.IsValid() {
			k.NetworkBits, k.Answers = uint8(prefixBits(l.Network)), addressToKernel(l.Answers)
		}
		known.single[addressToKernel(a)] = k
	}
	for _, a := range local.Broadcast {
		known.addFlag(a, flagBroadcast)
	}
	for _, a := range backends {
		known.addFlag(a, flagBackend)
	}
	for _, a := range targets {
		known.addFlag(a, flagTarget)
	}
	for _, p := range local.Prefixes {
		key := bpf.XfwdLocalPrefixKey{PrefixLength: uint32(prefixBits(p)), Address: addressToKernel(p.Masked().Addr())}
		known.prefixes[key] = flagLocal
	}
	return known
}

func (k KnownAddresses) addFlag(a netip.Addr, flag uint8) {
	known := k.single[addressToKernel(a)]
	known.Flags |= flag
	k.single[addressToKernel(a)] = known
}

// PutKnownAddresses makes the programs know these addresses, and no others. have is what
// they know, or the zero value if that has to be read.
func (s *Set) PutKnownAddresses(want, have KnownAddresses) error {
	if have.single == nil {
		if err := replace(s.maps.LocalPrefixes, want.prefixes); err != nil {
			return err
		}
		return replace(s.maps.KnownAddresses, want.single)
	}
	if err := replaceKnown(s.maps.LocalPrefixes, have.prefixes, want.prefixes); err != nil {
		return err
	}
	return replaceKnown(s.maps.KnownAddresses, have.single, want.single)
}

// ChangeLocalAddresses makes the programs know the host's addresses as they are now, given
// what they were. What is known of backends stays.
func (s *Set) ChangeLocalAddresses(was, is LocalAddresses) error {
	have, want := NewKnownAddresses(was, nil, nil), NewKnownAddresses(is, nil, nil)
	if err := replaceKnown(s.maps.LocalPrefixes, have.prefixes, want.prefixes); err != nil {
		return err
	}
	var keys, unused []bpf.XfwdAddress
	var values []bpf.XfwdKnownAddress
	change := func(key bpf.XfwdAddress, value bpf.XfwdKnownAddress) error {
		var known bpf.XfwdKnownAddress
		if err := ignoreMissing(s.maps.KnownAddresses.Lookup(key, &known)); err != nil {
			return fmt.Errorf("read map %s: %w", s.maps.KnownAddresses, err)
		}
		if value.Flags |= known.Flags & flagsOfBackends; value.Flags == 0 {
			unused = append(unused, key)
		} else {
			keys, values = append(keys, key), append(values, value)
		}
		return nil
	}
	for key, value := range want.single {
		if have.single[key] == value {
			continue
		}
		if err := change(key, value); err != nil {
			return err
		}
	}
	for key := range have.single {
		if _, stays := want.single[key]; stays {
			continue
		}
		if err := change(key, bpf.XfwdKnownAddress{}); err != nil {
			return err
		}
	}
	if err := putAll(s.maps.KnownAddresses, keys, values); err != nil {
		return err
	}
	return removeAll(s.maps.KnownAddresses, unused)
}

// HasLocalAddresses says whether the programs take these addresses for the host's own, and
// no others.
func (s *Set) HasLocalAddresses(local LocalAddresses) (bool, error) {
	want := NewKnownAddresses(local, nil, nil)
	prefixes, err := entries[bpf.XfwdLocalPrefixKey, uint8](s.maps.LocalPrefixes)
	if err != nil || !gomaps.Equal(prefixes, want.prefixes) {
		return false, err
	}
	have, err := entries[bpf.XfwdAddress, bpf.XfwdKnownAddress](s.maps.KnownAddresses)
	if err != nil {
		return false, err
	}
	for key, known := range have {
		if known.Flags &^= flagsOfBackends; known.Flags == 0 {
			delete(have, key)
		} else {
			have[key] = known
		}
	}
	return gomaps.Equal(have, want.single), nil
}

// addressBits is how many bits an address has in the programs, where IPv4 has the
// last 32.
const addressBits = 128

// prefixBits is the length of a prefix among these.
func prefixBits(p netip.Prefix) int { return addressBits - p.Addr().BitLen() + p.Bits() }
