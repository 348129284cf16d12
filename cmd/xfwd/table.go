// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/xfwd/xfwd/internal/figures"
)

// table prints rows under a header, aligned. Rows can be printed in several
// parts; columns then only grow.
type table struct {
	columns []column
	rows    [][]string
	widths  []int
}

type column struct {
	title string
	right bool
}

// text and number are columns aligned to the left and to the right.
func text(title string) column   { return column{title: title} }
func number(title string) column { return column{title: title, right: true} }

func newTable(columns ...column) *table {
	return &table{columns: columns}
}

// row adds a row; an empty cell shows as a dash.
func (t *table) row(cells ...string) {
	t.rows = append(t.rows, cells)
}

// flush prints the rows since the last flush, the first time the header too.
func (t *table) flush(w io.Writer) error {
	if t.widths == nil {
		t.widths = make([]int, len(t.columns))
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.title
		}
		t.rows = append([][]string{titles}, t.rows...)
	}
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(shown(cell)))
		}
	}
	var b bytes.Buffer
	for _, row := range t.rows {
		b.WriteString(strings.TrimRight(t.line(row), " ") + "\n")
	}
	t.rows = nil
	_, err := w.Write(b.Bytes())
	return err
}

func (t *table) line(row []string) string {
	var b strings.Builder
	for i, cell := range row {
		if i > 0 {
			b.WriteString("  ")
		}
		cell = shown(cell)
		gap := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
		if t.columns[i].right {
			b.WriteString(gap + cell)
		} else {
			b.WriteString(cell + gap)
		}
	}
	return b.String()
}

func shown(cell string) string {
	if cell == "" {
		return "-"
	}
	return figures.Printable(cell)
}
