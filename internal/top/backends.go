// SPDX-License-Identifier: Apache-2.0

package top

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rivo/uniseg"

	"github.com/xfwd/xfwd/internal/figures"
)

// backendColumn is one of the table of backends.
type backendColumn struct {
	title string
	width int
	// text is what it says of the i-th backend.
	text func(m *Model, f looked, i int) string
	// place puts the text into the width.
	place func(text string, width int) string
	// spare is the order in which columns are left out where there is no room for
	// them; those with zero are not.
	spare int
}

// backendColumns are those behind the backend itself.
var backendColumns = []backendColumn{
	{"WEIGHT", 6, func(_ *Model, f looked, i int) string { return fmt.Sprint(f.Backends[i].Weight) }, right, 0},
	{"STATE", 8, func(_ *Model, f looked, i int) string { return f.Backends[i].StateLabel(f.Uses[i]) }, left, 0},
	{"IN/S", 5, func(m *Model, f looked, i int) string { return m.rate(f.rated.Uses[i].Forward.Packets) }, right, 0},
	{"IN-BIT/S", 8, func(m *Model, f looked, i int) string { return m.rate(8 * f.rated.Uses[i].Forward.Bytes) }, right, 2},
	{"OUT/S", 5, func(m *Model, f looked, i int) string { return m.rate(f.rated.Uses[i].Reverse.Packets) }, right, 0},
	{"OUT-BIT/S", 9, func(m *Model, f looked, i int) string { return m.rate(8 * f.rated.Uses[i].Reverse.Bytes) }, right, 2},
	{"NEW/S", 5, func(m *Model, f looked, i int) string { return m.rate(f.rated.Uses[i].Connections) }, right, 1},
	{"ACTIVE", 6, func(_ *Model, f looked, i int) string { return figures.Short(f.Uses[i].Connections.Active) }, right, 0},
}

// backendColumnsFor are the columns for which there is room beside backends of that
// width, and what is left for these. The longest may be cut before rates are.
func backendColumnsFor(screen, longest int) (columns []backendColumn, width int) {
	const enough = 25
	for spared := 0; ; spared++ {
		columns, width = nil, screen
		for _, c := range backendColumns {
			if c.spare == 0 || c.spare > spared {
				columns, width = append(columns, c), width-c.width-1
			}
		}
		if width >= min(longest, enough) || spared == 2 {
			return columns, min(width, longest)
		}
	}
}

// backendLines are a table of the backends, those with the most connections first, at
// most a third of the screen.
func (m *Model) backendLines(f looked) []Line {
	order, longest := make([]int, len(f.Backends)), len("BACKEND")
	for i, b := range f.Backends {
		order[i] = i
		longest = max(longest, uniseg.StringWidth(b.PlaceLabel()))
	}
	columns, width := backendColumnsFor(m.width, longest)
	titles := left("BACKEND", width)
	for _, c := range columns {
		titles += " " + c.place(c.title, c.width)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.Uses[b].Connections.Active, f.Uses[a].Connections.Active) })
	lines := []Line{{titles, Title}}
	most := max(1, m.height/3-2)
	for n, i := range order {
		if n == most && len(order) > most {
			return append(lines, Line{fmt.Sprintf("and %d more; `xfwd show` has all", len(order)-n), Weak})
		}
		row := left(f.Backends[i].PlaceLabel(), width)
		for _, c := range columns {
			row += " " + c.place(c.text(m, f, i), c.width)
		}
		lines = append(lines, Line{row, Plain})
	}
	if len(order) == 0 {
		lines = append(lines, Line{"none, clients are refused", Plain})
	}
	return append(lines, Line{})
}
