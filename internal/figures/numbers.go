// SPDX-License-Identifier: Apache-2.0

// Package figures makes of counters what people read: short numbers and rates.
package figures

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Exact prints a number in full.
func Exact(n uint64) string {
	return strconv.FormatUint(n, 10)
}

// Short prints a number in at most five characters: 999, 1.2k, 34k, 5.6M.
func Short(n uint64) string {
	if n < 1000 {
		return Exact(n)
	}
	value := float64(n)
	for _, unit := range "kMGTPE" {
		value /= 1000
		if value < 9.95 {
			return fmt.Sprintf("%.1f%c", value, unit)
		}
		if value < 999.5 || unit == 'E' {
			return fmt.Sprintf("%.0f%c", value, unit)
		}
	}
	panic("unreachable: 2^64 is 18E")
}

// ByReason lists counts, the largest first.
func ByReason(counts map[string]uint64) string {
	var parts []string
	for _, reason := range reasons(counts) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, counts[reason]))
	}
	return strings.Join(parts, ", ")
}

// reasons returns the reasons that ever happened, the most frequent first.
func reasons(counts map[string]uint64) []string {
	happened := slices.DeleteFunc(slices.Collect(maps.Keys(counts)), func(r string) bool { return counts[r] == 0 })
	slices.SortFunc(happened, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	return happened
}

// Total adds counts up.
func Total(counts map[string]uint64) uint64 {
	var sum uint64
	for _, n := range counts {
		sum += n
	}
	return sum
}
