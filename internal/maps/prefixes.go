// SPDX-License-Identifier: Apache-2.0

package maps

import "math/bits"

// Prefix is the ports whose first Bits bits are those of Port.
type Prefix struct {
	Port uint16
	Bits int
}

// Last is the highest port of the prefix.
func (p Prefix) Last() uint16 {
	return p.Port | uint16(1<<(16-p.Bits)-1)
}

// Prefixes returns the fewest prefixes that together are the ports from first to
// last, in ascending order: at most 30.
func Prefixes(first, last uint16) []Prefix {
	var prefixes []Prefix
	for port := uint32(first); port <= uint32(last); {
		// The largest block that begins here and does not go beyond last.
		size := uint32(1) << min(bits.TrailingZeros32(port|1<<16), 16)
		for port+size-1 > uint32(last) {
			size /= 2
		}
		prefixes = append(prefixes, Prefix{Port: uint16(port), Bits: 16 - bits.TrailingZeros32(size)})
		port += size
	}
	return prefixes
}
