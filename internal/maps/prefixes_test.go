// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"math/rand/v2"
	"testing"
)

func checkPrefixes(t *testing.T, first, last uint16) {
	t.Helper()
	prefixes := Prefixes(first, last)
	if len(prefixes) > 30 {
		t.Errorf("%d-%d takes %d prefixes, more than 30", first, last, len(prefixes))
	}
	next := uint32(first)
	for _, p := range prefixes {
		if uint32(p.Port) != next {
			t.Fatalf("%d-%d: prefix %d/%d does not begin at %d", first, last, p.Port, p.Bits, next)
		}
		if p.Port&uint16(1<<(16-p.Bits)-1) != 0 {
			t.Fatalf("%d-%d: prefix %d/%d has bits behind its length", first, last, p.Port, p.Bits)
		}
		next = uint32(p.Last()) + 1
	}
	if next != uint32(last)+1 {
		t.Fatalf("%d-%d ends at %d", first, last, next-1)
	}
}

func TestPrefixesCoverTheRangeExactly(t *testing.T) {
	for _, r := range [][2]uint16{{0, 0}, {0, 65535}, {1, 65535}, {1, 65534}, {80, 80}, {65535, 65535}, {9000, 9005}, {32767, 32768}} {
		checkPrefixes(t, r[0], r[1])
	}
	for range 2000 {
		first, last := uint16(rand.Uint32()), uint16(rand.Uint32())
		checkPrefixes(t, min(first, last), max(first, last))
	}
}

func TestPrefixesOfTheWorstRangeAreThirty(t *testing.T) {
	if n := len(Prefixes(1, 65534)); n != 30 {
		t.Errorf("1-65534 takes %d prefixes, want 30", n)
	}
}
