// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// BTF records where members are, C records only their order. This file says
// where a compiler for BPF, a 64-bit target, puts members, so that the printer
// can write the padding or the attribute that makes the two agree.

// pointerSize is the size and alignment of a pointer in bytes.
const pointerSize = 8

// align returns the alignment of typ in bytes.
func align(typ btf.Type) (uint32, error) {
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Pointer:
		return pointerSize, nil
	case *btf.Int:
		return t.Size, nil
	case *btf.Enum:
		return t.Size, nil
	case *btf.Float:
		return t.Size, nil
	case *btf.Array:
		return align(t.Type)
	case *btf.Struct:
		return alignMembers(t.Members, t.Size)
	case *btf.Union:
		return alignMembers(t.Members, t.Size)
	default:
		return 0, fmt.Errorf("%v has no alignment", t)
	}
}

// alignMembers returns the alignment of a struct or union of that size.
func alignMembers(members []btf.Member, size uint32) (uint32, error) {
	packed, err := isPacked(members, size)
	if packed || err != nil {
		return 1, err
	}
	return widest(members)
}

// widest returns the strictest alignment that a member asks for.
func widest(members []btf.Member) (uint32, error) {
	most := uint32(1)
	for _, m := range members {
		a, err := align(m.Type)
		if err != nil {
			return 0, fmt.Errorf("member %s: %w", m.Name, err)
		}
		most = max(most, a)
	}
	return most, nil
}

// isPacked tells whether a struct or union of that size needs the packed
// attribute: a member is not where its type wants to be, or the size is not a
// multiple of the alignment.
func isPacked(members []btf.Member, size uint32) (bool, error) {
	most, err := widest(members)
	if err != nil {
		return false, err
	}
	if size%most != 0 {
		return true, nil
	}
	for _, m := range members {
		a, err := align(m.Type)
		if err != nil {
			return false, err
		}
		unit := btf.Bits(a * 8)
		if m.BitfieldSize == 0 && m.Offset%unit != 0 {
			return true, nil
		}
		// A field of bits never crosses a boundary of its type.
		if m.BitfieldSize != 0 && m.Offset/unit != (m.Offset+m.BitfieldSize-1)/unit {
			return true, nil
		}
	}
	return false, nil
}

// bits returns how many bits a member takes.
func bits(m btf.Member) (btf.Bits, error) {
	if m.BitfieldSize != 0 {
		return m.BitfieldSize, nil
	}
	size, err := btf.Sizeof(m.Type)
	return btf.Bits(size * 8), err
}

// place returns where a compiler puts member m if the members before it end at
// position end: both in bits.
func place(m btf.Member, end btf.Bits, packed bool) (btf.Bits, error) {
	if packed {
		if m.BitfieldSize != 0 {
			return end, nil
		}
		return roundUp(end, 8), nil
	}
	a, err := align(m.Type)
	if err != nil {
		return 0, err
	}
	unit := btf.Bits(a * 8)
	if m.BitfieldSize != 0 && end/unit == (end+m.BitfieldSize-1)/unit {
		return end, nil
	}
	return roundUp(end, unit), nil
}

func roundUp(n, unit btf.Bits) btf.Bits { return (n + unit - 1) / unit * unit }
