// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// HashOfTuple is what the programs compute of the first packet of a flow, to find
// its entry in a table of backends.
func HashOfTuple(t Tuple) uint32 {
	h := hashAddAddress(hashAddAddress(0, t.Source.Addr()), t.Destination.Addr())
	h = hashAdd(h, uint32(t.Source.Port())<<16|uint32(t.Destination.Port()))
	return hashEnd(hashAdd(h, uint32(t.Protocol)))
}

// HashOfSource is the same of a client's address only.
func HashOfSource(a netip.Addr) uint32 {
	return hashEnd(hashAddAddress(0, a))
}

// hashAdd, hashAddAddress and hashEnd are those of select.h: MurmurHash3, without
// the length that it adds at the end.
func hashAdd(h, word uint32) uint32 {
	word *= 0xcc9e2d51
	h ^= bits.RotateLeft32(word, 15) * 0x1b873593
	return bits.RotateLeft32(h, 13)*5 + 0xe6546b64
}

func hashAddAddress(h uint32, a netip.Addr) uint32 {
	b := a.As16()
	for i := 0; i < len(b); i += 4 {
		h = hashAdd(h, binary.BigEndian.Uint32(b[i:]))
	}
	return h
}

func hashEnd(h uint32) uint32 {
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}
