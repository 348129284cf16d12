// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{2, 1}, spread{1.5, 1.25, 1.75}},
		{[]float64{5, 1, 4, 2, 3}, spread{3, 2, 4}},
		{[]float64{4, 3, 2, 1}, spread{2.5, 1.75, 3.25}},
	} {
		if got := newSpread(c.values); got != c.want {
			t.Errorf("newSpread(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

// A round in which everything is slow must not move a ratio.
func TestRatiosArePaired(t *testing.T) {
	c := column{samples: map[string][]sample{
		direct{}.name(): {{cpu: 100}, {cpu: 300}, {cpu: 100}},
		xfwd{}.name():   {{cpu: 110}, {cpu: 330}, {cpu: 110}},
	}}
	if got, want := c.ratio(xfwd{}, direct{}), (spread{1.1, 1.1, 1.1}); got != want {
		t.Errorf("ratio = %v, want %v", got, want)
	}
}

func TestDirectCostIsPerUnit(t *testing.T) {
	c := column{
		workload: workload{units: 1000},
		samples:  map[string][]sample{direct{}.name(): {{cpu: time.Millisecond}, {cpu: 3 * time.Millisecond}}},
	}
	if got, want := c.directCost().Median, 2000.0; got != want {
		t.Errorf("cost = %v ns, want %v", got, want)
	}
}
