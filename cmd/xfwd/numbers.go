// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// exact prints a number in full.
func exact(n uint64) string {
	return strconv.FormatUint(n, 10)
}

// short prints a number in at most five characters: 999, 1.2k, 34k, 5.6M.
func short(n uint64) string {
	if n < 1000 {
		return exact(n)
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

// byReason lists counts, the largest first.
func byReason(counts map[string]uint64) string {
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

// total adds counts up.
func total(counts map[string]uint64) uint64 {
	var sum uint64
	for _, n := range counts {
		sum += n
	}
	return sum
}
