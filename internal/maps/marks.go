// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"cmp"
	"slices"

	"github.com/xfwd/xfwd/bpf"
)

// Mark is one by which routing rules lead to a device.
type Mark struct {
	Value, Mask uint32
	// Ifindex is the device.
	Ifindex uint32
}

// MarkKeys are the keys of marks.
type MarkKeys map[Mark]uint8

// HaveAll says whether each of these marks has a key, as far as there are places.
func (keys MarkKeys) HaveAll(marks []Mark) bool {
	missing := 0
	for _, mark := range marks {
		if _, has := keys[mark]; !has {
			missing++
		}
	}
	return missing == 0 || len(marks) > mostMarks && len(marks)-missing == mostMarks
}

// mostMarks is how many there can be: key 0 is none.
const mostMarks = 255

// Marks returns the marks that the programs know.
func (s *Set) Marks() (MarkKeys, error) {
	known, err := entries[uint32, bpf.XfwdMark](s.maps.Marks)
	if err != nil {
		return nil, err
	}
	keys := make(MarkKeys)
	for key, k := range known {
		if key != 0 && k != (bpf.XfwdMark{}) {
			keys[Mark{k.Value, k.Mask, k.Ifindex}] = uint8(key)
		}
	}
	return keys, nil
}

// KeepMarks makes the programs know marks, and returns the key of each. Flows have
// keys, so a mark that is known keeps its key, and one that nothing leads by any more
// goes only when its place is needed.
func (s *Set) KeepMarks(want []Mark) (keys MarkKeys, err error) {
	known, err := entries[uint32, bpf.XfwdMark](s.maps.Marks)
	if err != nil {
		return nil, err
	}
	keys = make(MarkKeys, len(want))
	taken := make(map[uint32]bool)
	for key, k := range known {
		mark := Mark{k.Value, k.Mask, k.Ifindex}
		if key != 0 && slices.Contains(want, mark) {
			keys[mark], taken[key] = uint8(key), true
		}
	}
	want = slices.SortedFunc(slices.Values(want), func(a, b Mark) int { return cmp.Compare(a.Ifindex, b.Ifindex) })
	for _, mark := range want {
		if _, has := keys[mark]; has {
			continue
		}
		key := freeMark(known, taken)
		// There are more uplinks than places: this one has no mark.
		if key == 0 {
			break
		}
		fresh := bpf.XfwdMark{Value: mark.Value, Mask: mark.Mask, Ifindex: mark.Ifindex}
		if err := put(s.maps.Marks, key, fresh); err != nil {
			return nil, err
		}
		known[key], keys[mark], taken[key] = fresh, uint8(key), true
	}
	return keys, nil
}

// freeMark returns the lowest key that has never had a mark, or else one whose mark
// is not wanted any more, or 0.
func freeMark(known map[uint32]bpf.XfwdMark, taken map[uint32]bool) uint32 {
	unwanted := uint32(0)
	for key := uint32(1); key < uint32(len(known)); key++ {
		switch {
		case taken[key]:
		case known[key] == bpf.XfwdMark{}:
			return key
		case unwanted == 0:
			unwanted = key
		}
	}
	return unwanted
}
