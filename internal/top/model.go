// SPDX-License-Identifier: Apache-2.0

package top

import (
	"slices"
	"strings"
	"time"

	"github.com/xfwd/xfwd/internal/figures"
)

// Model is what is shown, and where the user is in it.
type Model struct {
	interval      time.Duration
	width, height int

	// last is the sample that is shown, rated what it says of the forwards compared
	// with another one, of about an interval before. That is the older of two.
	last   Sample
	rated  []figures.Forward
	before [2]figures.Sample

	order order
	// filter is what rows must contain; while editing is set, keys are written to it.
	filter  string
	editing bool
	// selected is the label of a forward, into which enter looks.
	selected string
	// inside is the label of the forward that is looked into, or empty.
	inside string
	// scroll is the first row that is shown, of the forwards or of the flows of one.
	scroll int

	paused, help, quit bool
}

// NewModel has a model of a first sample.
func NewModel(interval time.Duration, first Sample) *Model {
	m := &Model{interval: interval, order: order{column: columnOf("IN/S")}}
	m.before = [2]figures.Sample{first.Sample, first.Sample}
	m.show(first)
	return m
}

// Resize tells the size of the screen.
func (m *Model) Resize(width, height int) {
	m.width, m.height = width, height
	m.keepInSight()
}

// Done says whether the user wants to leave.
func (m *Model) Done() bool { return m.quit }

// Paused says whether no more samples are wanted for now.
func (m *Model) Paused() bool { return m.paused }

// Inside is the label of the forward whose flows are wanted, or empty.
func (m *Model) Inside() string { return m.inside }

// Add shows a sample. One that comes early, to show something else, is not what the
// next are compared with, or rates would jump.
func (m *Model) Add(s Sample) {
	if m.paused {
		return // it was on its way
	}
	if s.Err != nil {
		m.last.Err = s.Err
		return
	}
	if !m.measured() || s.At.Sub(m.before[1].At) >= m.interval/2 {
		m.before = [2]figures.Sample{m.before[1], s.Sample}
	}
	m.show(s)
}

// measured says whether there are rates yet.
func (m *Model) measured() bool { return m.before[0].At.Before(m.before[1].At) }

func (m *Model) show(s Sample) {
	m.last = s
	m.rated = figures.Between(m.before[0], s.Sample)
	m.keepInSight()
}

// rows are the forwards that pass the filter, in order.
func (m *Model) rows() []figures.Forward {
	var rows []figures.Forward
	for _, f := range m.rated {
		if m.passes(f.Label, f.Name) {
			rows = append(rows, f)
		}
	}
	m.order.sort(rows)
	return rows
}

// passes says whether a row that shows these texts passes the filter.
func (m *Model) passes(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(m.filter))
	})
}

// position is the place of the selected forward among the rows; of the first, if none
// is selected or it is there no more.
func (m *Model) position(rows []figures.Forward) int {
	return max(0, slices.IndexFunc(rows, func(f figures.Forward) bool { return f.Label == m.selected }))
}

// keepInSight scrolls to the selected forward, and not behind the last flow.
func (m *Model) keepInSight() {
	if m.inside != "" {
		m.scroll = max(0, min(m.scroll, len(m.flowRows())-m.flowRoom()))
		return
	}
	rows := m.rows()
	position, room := m.position(rows), m.listRoom()
	m.scroll = max(min(m.scroll, position, len(rows)-room), position-room+1, 0)
}
