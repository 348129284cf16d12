// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/bpf"
)

// KnownAddresses are addresses that the programs know something of.
type KnownAddresses map[bpf.XfwdAddress]uint8

// NewKnownAddresses says which addresses are the host's own, which of these the device lo
// has, which those of backends that are not this host, and which of these see their
// clients' addresses.
func NewKnownAddresses(local, onLoopback, backends, targets []netip.Addr) KnownAddresses {
	known := make(KnownAddresses, len(local)+len(backends))
	for _, a := range local {
		known[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_LOCAL)
	}
	for _, a := range backends {
		known[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_BACKEND)
	}
	for _, a := range onLoopback {
		known[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_ON_LOOPBACK)
	}
	for _, a := range targets {
		known[addressToKernel(a)] |= uint8(bpf.XfwdAddressFlagADDRESS_TARGET)
	}
	return known
}

// PutKnownAddresses makes the programs know these addresses, and no others. have is what
// they know, or nil if that has to be read.
func (s *Set) PutKnownAddresses(want, have KnownAddresses) error {
	if have == nil {
		return replace(s.maps.KnownAddresses, want)
	}
	return replaceKnown(s.maps.KnownAddresses, have, want)
}

// ChangeLocalAddresses makes the programs know that some addresses have become the host's
// own, and some others are not any more. What is known of backends stays.
func (s *Set) ChangeLocalAddresses(come, gone []netip.Addr) error {
	const local = uint8(bpf.XfwdAddressFlagADDRESS_LOCAL)
	var keys, unused []bpf.XfwdAddress
	var values []uint8
	for i, a := range append(slices.Clone(come), gone...) {
		key := addressToKernel(a)
		var flags uint8
		if err := ignoreMissing(s.maps.KnownAddresses.Lookup(key, &flags)); err != nil {
			return fmt.Errorf("read map %s: %w", s.maps.KnownAddresses, err)
		}
		if i < len(come) {
			flags |= local
		} else {
			flags &^= local
		}
		if flags == 0 {
			unused = append(unused, key)
		} else {
			keys, values = append(keys, key), append(values, flags)
		}
	}
	if err := putAll(s.maps.KnownAddresses, keys, values); err != nil {
		return err
	}
	return removeAll(s.maps.KnownAddresses, unused)
}

// HasLocalAddresses says whether the programs take these addresses for the host's own, and
// no others.
func (s *Set) HasLocalAddresses(local []netip.Addr) (bool, error) {
	known, err := entries[bpf.XfwdAddress, uint8](s.maps.KnownAddresses)
	if err != nil {
		return false, err
	}
	want := make(map[bpf.XfwdAddress]bool, len(local))
	for _, a := range local {
		want[addressToKernel(a)] = true
	}
	have := 0
	for key, flags := range known {
		if flags&uint8(bpf.XfwdAddressFlagADDRESS_LOCAL) == 0 {
			continue
		}
		if !want[key] {
			return false, nil
		}
		have++
	}
	return have == len(want), nil
}
