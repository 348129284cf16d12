// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"cmp"
	"slices"
)

// mostTurns is the longest sequence of turns.
const mostTurns = 1 << 16

// Turns returns a sequence of positions in members, each as often as its weight
// wants, and spread evenly: the turns of a member with twice the weight are half
// as far apart. The sequence is as short as the weights allow, and scaled down
// to mostTurns where they want more; each member has one at least.
func Turns(members []Member) []uint32 {
	turns := make([]turn, 0, len(members))
	for position, count := range turnCounts(members) {
		for k := range count {
			turns = append(turns, turn{uint32(position), uint64(2*k + 1), uint64(count)})
		}
	}
	slices.SortFunc(turns, turn.compare)
	sequence := make([]uint32, len(turns))
	for i, t := range turns {
		sequence[i] = t.position
	}
	return sequence
}

// turn is one of `count` turns of a member, due at odd/(2*count) of the sequence.
type turn struct {
	position   uint32
	odd, count uint64
}

func (t turn) compare(o turn) int {
	return cmp.Or(cmp.Compare(t.odd*o.count, o.odd*t.count), cmp.Compare(t.position, o.position))
}

// turnCounts returns how many turns each member has.
func turnCounts(members []Member) []int {
	divisor, sum := 0, 0
	for _, m := range members {
		divisor = greatestCommonDivisor(divisor, int(m.Weight))
		sum += int(m.Weight)
	}
	counts := make([]int, len(members))
	for i, m := range members {
		counts[i] = int(m.Weight) / divisor
		if sum/divisor > mostTurns {
			// Rounding up may add one for each member.
			counts[i] = max(1, int(m.Weight)*(mostTurns-len(members))/sum)
		}
	}
	return counts
}

func greatestCommonDivisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
