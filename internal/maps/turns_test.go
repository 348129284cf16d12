// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"slices"
	"testing"
)

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		weights []uint16
		want    []uint32
	}{
		{nil, nil},
		{[]uint16{1}, []uint32{0}},
		{[]uint16{1000}, []uint32{0}},
		{[]uint16{1, 1, 1}, []uint32{0, 1, 2}},
		{[]uint16{7, 7}, []uint32{0, 1}},
		{[]uint16{2, 1}, []uint32{0, 1, 0}},
		{[]uint16{1, 3}, []uint32{1, 0, 1, 1}},
		{[]uint16{4, 2, 2}, []uint32{0, 1, 2, 0}},
	} {
		if got := Turns(members(c.weights...)); !slices.Equal(got, c.want) {
			t.Errorf("weights %v have turns %v, want %v", c.weights, got, c.want)
		}
	}
}

// A member's turns are never much further apart than its weight says.
func TestTurnsAreSpread(t *testing.T) {
	weights := []uint16{1, 2, 3, 10, 100}
	turns := Turns(members(weights...))
	for position, weight := range weights {
		last, longest := -1, 0
		for i := range 2 * len(turns) {
			if turns[i%len(turns)] == uint32(position) {
				if last >= 0 {
					longest = max(longest, i-last)
				}
				last = i
			}
		}
		if fair := len(turns) / int(weight); longest > fair+len(weights) {
			t.Errorf("weight %d waits for %d turns, %d would be fair", weight, longest, fair)
		}
	}
}

func TestTurnsAreScaledDown(t *testing.T) {
	// Without a common divisor, and far more than there is room for.
	weights := append(slices.Repeat([]uint16{999}, 4000), 1, 1000)
	m := members(weights...)
	turns := Turns(m)
	if len(turns) > mostTurns {
		t.Errorf("%d turns, more than %d", len(turns), mostTurns)
	}
	n := counts(turns, len(m))
	if slices.Contains(n, 0) {
		t.Error("somebody has no turn")
	}
	heavy, light := n[0], n[4000]
	if heavy < 15 || light != 1 {
		t.Errorf("weights 999 and 1 have %d and %d turns", heavy, light)
	}
}
