// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// spread is the middle of a set of figures: the median, and the first and the
// third quartile.
type spread struct {
	Median float64 `json:"median"`
	Q1     float64 `json:"q1"`
	Q3     float64 `json:"q3"`
}

// newSpread of nothing is zero.
func newSpread(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75)}
}

// quantile interpolates between the two nearest of sorted values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

// contains says whether x lies between the quartiles.
func (s spread) contains(x float64) bool { return s.Q1 <= x && x <= s.Q3 }
