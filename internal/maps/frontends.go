// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/bpf"
)

// Frontend is where one forward is looked up: its forward's frontend under one
// device, or under none.
type Frontend struct {
	Forward  uint32
	Protocol uint8
	// Address is the zero Addr for every address of this host.
	Address netip.Addr
	// Ifindex is zero for whatever device.
	Ifindex             uint32
	PortFirst, PortLast uint16
}

// single says whether the frontend is kept in the hash of single ports.
func (f Frontend) single() bool {
	return f.PortFirst == f.PortLast
}

// FrontendTable is what the two frontend maps hold. Each entry has room for two
// forwards, of which the programs take the one that is alive.
type FrontendTable struct {
	ports  map[bpf.XfwdFrontendKey]bpf.XfwdFrontend
	ranges map[bpf.XfwdFrontendRangeKey]bpf.XfwdFrontend
}

// NewFrontendTable computes the table for the frontends of two epochs: those
// before a change and those after it. Either may be empty. Frontends of one
// epoch must not overlap.
//
// Ranges are prefixes of a trie that finds only the longest. So a prefix of
// one epoch may hide a shorter one of the other epoch, and each entry names the
// forward that has its ports in each epoch, whatever prefix it has them by.
func NewFrontendTable(before, after []Frontend) FrontendTable {
	t := FrontendTable{
		ports:  make(map[bpf.XfwdFrontendKey]bpf.XfwdFrontend, max(len(before), len(after))),
		ranges: make(map[bpf.XfwdFrontendRangeKey]bpf.XfwdFrontend),
	}
	for epoch, frontends := range [2][]Frontend{before, after} {
		for _, f := range frontends {
			if f.single() {
				key := f.key()
				entry := t.ports[key]
				entry.Forward[epoch] = f.Forward
				t.ports[key] = entry
				continue
			}
			for _, p := range Prefixes(f.PortFirst, f.PortLast) {
				key := f.rangeKey(p)
				entry := t.ranges[key]
				entry.Forward[epoch] = f.Forward
				t.ranges[key] = entry
			}
		}
	}
	t.fillHidden(before, after)
	return t
}

// fillHidden names in each entry of a range the forward of the other epoch that
// has its ports by a shorter prefix.
func (t FrontendTable) fillHidden(before, after []Frontend) {
	for epoch, frontends := range [2][]Frontend{before, after} {
		ranges := rangesByPlace(frontends)
		for key, entry := range t.ranges {
			if entry.Forward[epoch] == 0 {
				entry.Forward[epoch] = covering(ranges[placeOf(key)], prefixOf(key))
				t.ranges[key] = entry
			}
		}
	}
}

// place is a range key without its port: where ranges can hide one another.
type place struct {
	address  bpf.XfwdAddress
	ifindex  uint32
	protocol uint8
}

func placeOf(key bpf.XfwdFrontendRangeKey) place {
	return place{key.Address, key.Ifindex, key.Protocol}
}

func prefixOf(key bpf.XfwdFrontendRangeKey) Prefix {
	return Prefix{Port: portFromKernel(key.Port), Bits: int(key.PrefixLength) - rangeFixedBits}
}

// rangesByPlace returns the ranges of each place in ascending order.
func rangesByPlace(frontends []Frontend) map[place][]Frontend {
	ranges := make(map[place][]Frontend)
	for _, f := range frontends {
		if !f.single() {
			p := place{addressToKernel(f.Address), f.Ifindex, f.Protocol}
			ranges[p] = append(ranges[p], f)
		}
	}
	for _, r := range ranges {
		slices.SortFunc(r, func(a, b Frontend) int { return cmp.Compare(a.PortFirst, b.PortFirst) })
	}
	return ranges
}

// covering returns the forward of the range that has all ports of a prefix, or
// 0. The ranges are in ascending order and do not overlap.
func covering(ranges []Frontend, p Prefix) uint32 {
	i, found := slices.BinarySearchFunc(ranges, p.Port, func(f Frontend, port uint16) int {
		return cmp.Compare(f.PortFirst, port)
	})
	if !found {
		i--
	}
	if i < 0 || p.Last() > ranges[i].PortLast {
		return 0
	}
	return ranges[i].Forward
}

func (f Frontend) key() bpf.XfwdFrontendKey {
	return bpf.XfwdFrontendKey{
		Address:  addressToKernel(f.Address),
		Ifindex:  f.Ifindex,
		Port:     portToKernel(f.PortFirst),
		Protocol: f.Protocol,
	}
}

// rangeFixedBits is RANGE_FIXED_BITS of abi.h: address, ifindex, padding and
// protocol come before the port.
const rangeFixedBits = 8 * (16 + 4 + 2)

func (f Frontend) rangeKey(p Prefix) bpf.XfwdFrontendRangeKey {
	return bpf.XfwdFrontendRangeKey{
		PrefixLength: uint32(rangeFixedBits + p.Bits),
		Address:      addressToKernel(f.Address),
		Ifindex:      f.Ifindex,
		Protocol:     f.Protocol,
		Port:         portToKernel(p.Port),
	}
}

// PutFrontends makes the frontend maps hold the table: what is missing or
// different is written, then what does not belong is removed. have is what they hold, or
// nil if that has to be read.
func (s *Set) PutFrontends(want FrontendTable, have *FrontendTable) error {
	if have != nil {
		if err := replaceKnown(s.maps.Frontends, have.ports, want.ports); err != nil {
			return err
		}
		return replaceKnown(s.maps.FrontendRanges, have.ranges, want.ranges)
	}
	if err := replace(s.maps.Frontends, want.ports); err != nil {
		return err
	}
	return replace(s.maps.FrontendRanges, want.ranges)
}
