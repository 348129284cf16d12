// SPDX-License-Identifier: Apache-2.0

package top

import (
	"cmp"
	"slices"

	"github.com/xfwd/xfwd/internal/figures"
)

// column is one of the table of forwards.
type column struct {
	title string
	width int
	// value is what rows are ordered by; the frontend has none.
	value func(figures.Forward) float64
	// isRate is set for what a first sample cannot tell.
	isRate bool
}

// columns are those of the table that it can be sorted by. Frontends, and names if
// there are any, take the width that is left.
var columns = []column{
	{title: "FRONTEND"},
	{"IN/S", 5, func(f figures.Forward) float64 { return f.Rates.Forward.Packets }, true},
	{"IN-BIT/S", 8, func(f figures.Forward) float64 { return 8 * f.Rates.Forward.Bytes }, true},
	{"OUT/S", 5, func(f figures.Forward) float64 { return f.Rates.Reverse.Packets }, true},
	{"OUT-BIT/S", 9, func(f figures.Forward) float64 { return 8 * f.Rates.Reverse.Bytes }, true},
	{"NEW/S", 5, func(f figures.Forward) float64 { return f.Rates.Connections }, true},
	{"ACTIVE", 6, func(f figures.Forward) float64 { return float64(f.Counters.Connections.Active) }, false},
	{"DROPS/S", 7, func(f figures.Forward) float64 { return f.Rates.Drops }, true},
}

// columnOf returns the number of a column.
func columnOf(title string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.title == title })
}

// order is by which column rows are sorted: what is most first, frontends as `xfwd
// list` has them; or the other way round.
type order struct {
	column   int
	reversed bool
}

// sort sorts rows that are in the order of `xfwd list`.
func (o order) sort(rows []figures.Forward) {
	if value := columns[o.column].value; value != nil {
		slices.SortStableFunc(rows, func(a, b figures.Forward) int { return cmp.Compare(value(b), value(a)) })
	}
	if o.reversed {
		slices.Reverse(rows)
	}
}

// String says it in words.
func (o order) String() string {
	s := "by " + columns[o.column].title
	if o.reversed {
		s += ", reversed"
	}
	return s
}
