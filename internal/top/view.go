// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// The smallest screen that shows anything, and how many lines of it are not rows.
const (
	leastWidth, leastHeight = 60, 8
	linesAround             = 5
)

// View returns the lines of the screen, none of which is too wide or too many.
func (m *Model) View() []Line {
	var lines []Line
	switch {
	case m.width < leastWidth || m.height < leastHeight:
		lines = []Line{{Text: fmt.Sprintf("this terminal is smaller than %dx%d", leastWidth, leastHeight)}}
	case m.help:
		lines = helpLines
	case m.inside != "":
		lines = m.viewForward()
	default:
		lines = m.viewList()
	}
	for i := range lines {
		lines[i].Text = strings.TrimRight(cut(figures.Printable(lines[i].Text), m.width), " ")
	}
	return lines[:min(len(lines), m.height)]
}

// listRoom is how many rows of forwards fit.
func (m *Model) listRoom() int { return max(1, m.height-linesAround) }

// frame puts lines between what is always there.
func (m *Model) frame(head []Line, body []Line, footer string) []Line {
	lines := append(head, m.trouble())
	lines = append(lines, body...)
	for len(lines) < m.height-1 {
		lines = append(lines, Line{})
	}
	if m.editing {
		return append(lines[:m.height-1], Line{"filter: " + m.filter + "_", Strong})
	}
	if m.filter != "" {
		footer = fmt.Sprintf("filter %q, esc forgets it  %s", m.filter, footer)
	}
	return append(lines[:m.height-1], Line{footer, Weak})
}

// trouble is what is wrong, if anything is.
func (m *Model) trouble() Line {
	warnings := m.last.Status.Warnings
	switch {
	case m.last.Err != nil:
		return Line{"error: " + oneLine(m.last.Err.Error()), Alert}
	case len(warnings) == 1:
		return Line{"warning: " + oneLine(warnings[0]), Alert}
	case len(warnings) > 1:
		return Line{fmt.Sprintf("%d warnings, `xfwd status` has all: %s", len(warnings), oneLine(warnings[0])), Alert}
	}
	return Line{}
}

func oneLine(s string) string { return figures.Printable(strings.Join(strings.Fields(s), " ")) }

// header tells the time and, for the whole, how many established flows there are of those
// that there is room for.
func (m *Model) header() Line {
	text := "xfwd top " + m.last.At.Format(time.TimeOnly)
	if m.paused {
		text += "  PAUSED"
	}
	what := "forwards"
	if len(m.rated) == 1 {
		what = "forward"
	}
	text += fmt.Sprintf("  %d %s %s", len(m.rated), what, m.order)
	if flows := m.last.Status.Flows; flows.MaxFlows > 0 {
		text += fmt.Sprintf("  flows %s of %s (%d%%)", figures.Short(flows.Established), figures.Short(uint64(flows.MaxFlows)),
			100*flows.Established/uint64(flows.MaxFlows))
	}
	return Line{text, Strong}
}

// totals are the rates of forwards together.
func (m *Model) totals(forwards []figures.Forward) Line {
	var sum figures.Rates
	var active uint64
	for _, f := range forwards {
		sum.Forward.Packets += f.Rates.Forward.Packets
		sum.Forward.Bytes += f.Rates.Forward.Bytes
		sum.Reverse.Packets += f.Rates.Reverse.Packets
		sum.Reverse.Bytes += f.Rates.Reverse.Bytes
		sum.Connections += f.Rates.Connections
		sum.Drops += f.Rates.Drops
		active += f.Counters.Connections.Active
	}
	return Line{fmt.Sprintf("in %s/s %s bit/s  out %s/s %s bit/s  new %s/s  active %s  drops %s/s",
		m.rate(sum.Forward.Packets), m.rate(8*sum.Forward.Bytes), m.rate(sum.Reverse.Packets), m.rate(8*sum.Reverse.Bytes),
		m.rate(sum.Connections), figures.Short(active), m.rate(sum.Drops)), Plain}
}

// rate prints a rate, if there is one yet.
func (m *Model) rate(perSecond float64) string {
	if !m.measured() {
		return "-"
	}
	return figures.Rate(perSecond)
}

var helpLines = []Line{
	{"xfwd top shows what forwards carry, as it is on the wire.", Strong},
	{},
	{"IN       what clients send         OUT  what is sent to them", Plain},
	{"NEW/S    flows that are opened     ACTIVE  connections there are", Plain},
	{"DROPS/S  packets that clients sent in vain; `xfwd stats` has the reasons", Plain},
	{},
	{"up down j k       select a forward, or scroll through flows", Plain},
	{"pgup pgdn g G     the same, by far", Plain},
	{"enter             look into the forward: rates of its backends, and its flows", Plain},
	{"esc backspace     go back, or forget the filter", Plain},
	{"s                 sort by the next column", Plain},
	{"r                 reverse the order", Plain},
	{"/                 show only what contains a word; enter ends it", Plain},
	{"space p           pause", Plain},
	{"ctrl-l ctrl-z     draw anew, suspend", Plain},
	{"q ctrl-c          leave", Plain},
	{},
	{"any key           go on", Weak},
}

// endpoint prints an end of a flow.
func endpoint(e ctl.FlowEndpoint) string {
	if e.Address.Is6() {
		return fmt.Sprintf("[%s]:%d", e.Address, e.Port)
	}
	return fmt.Sprintf("%s:%d", e.Address, e.Port)
}
