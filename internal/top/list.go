// SPDX-License-Identifier: Apache-2.0

package top

import (
	"strings"

	"github.com/rivo/uniseg"

	"github.com/xfwd/xfwd/internal/figures"
)

// viewList shows all forwards.
func (m *Model) viewList() []Line {
	rows := m.rows()
	head := []Line{m.header(), m.totals(m.rated)}
	room := m.width
	for _, c := range columns[1:] {
		room -= c.width + 1
	}
	longest := len(columns[0].title)
	for _, f := range rows {
		longest = max(longest, uniseg.StringWidth(f.Label))
	}
	width := min(room, longest)
	names := nameWidth(rows, room-width-1)

	titles := left(columns[0].title, width)
	if names > 0 {
		titles += " " + left("NAME", names)
	}
	for _, c := range columns[1:] {
		titles += " " + right(c.title, c.width)
	}
	body := []Line{{titles, Title}}
	position := m.position(rows)
	for i := m.scroll; i < min(m.scroll+m.listRoom(), len(rows)); i++ {
		line := Line{m.row(rows[i], width, names), Plain}
		switch {
		case i == position:
			line.Style = Selected
			line.Text = left(line.Text, m.width)
		case rows[i].Rates.Drops >= 0.5:
			line.Style = Alert
		}
		body = append(body, line)
	}
	if len(rows) == 0 {
		body = append(body, Line{}, Line{m.nothing(), Plain})
	}
	return m.frame(head, body, "q quit  enter look into  s sort  r reverse  / filter  space pause  ? help")
}

// nameWidth is the width of the column of names, for which there is so much room. It is
// none if nothing has a name, or not enough of them would be seen.
func nameWidth(rows []figures.Forward, room int) int {
	const least = 8
	longest := 0
	for _, f := range rows {
		longest = max(longest, uniseg.StringWidth(f.Name))
	}
	if longest == 0 {
		return 0
	}
	longest = max(longest, len("NAME"))
	if room < min(longest, least) {
		return 0
	}
	return min(longest, room)
}

func (m *Model) row(f figures.Forward, width, names int) string {
	var b strings.Builder
	b.WriteString(left(f.Label, width))
	if names > 0 {
		b.WriteString(" " + left(f.Name, names))
	}
	for _, c := range columns[1:] {
		cell := figures.Rate(c.value(f))
		if c.isRate {
			cell = m.rate(c.value(f))
		}
		b.WriteString(" " + right(cell, c.width))
	}
	return b.String()
}

// nothing says why there is no row.
func (m *Model) nothing() string {
	switch {
	case len(m.rated) > 0:
		return "no forward contains that"
	case !m.last.Status.Loaded:
		return "the dataplane is not loaded; the first `xfwd add` or `xfwd restore` loads it"
	}
	return "no forwards; `xfwd add 80 30080` adds one"
}
