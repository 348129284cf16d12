// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// The widths of columns of flows.
const flowStateWidth, idleWidth = 11, 7

// viewForward shows one forward: its backends, those with the most connections first,
// and its flows.
func (m *Model) viewForward() []Line {
	const footer = "q quit  esc back  j k scroll  / filter flows  space pause  ? help"
	head := m.header()
	f, found := m.forward()
	if !found {
		return m.frame([]Line{head, {m.inside, Strong}}, []Line{{}, {"this forward is gone; esc goes back", Plain}}, footer)
	}
	title := m.inside
	if f.Name != "" {
		title += " " + f.Name
	}
	title += fmt.Sprintf(", %s, source %s", f.Balance, f.Source)
	if reasons := figures.ByReason(f.Counters.Drops); reasons != "" {
		title += ", dropped: " + reasons
	}
	if f.Check.Kind != "" {
		title += ", check " + f.Check.String()
	}
	if !f.ExpiresAt.IsZero() {
		title += ", expires " + f.ExpiresAt.Format(time.RFC3339)
	}
	lines := []Line{head, {title, Strong}, m.totals([]figures.Forward{f.rated})}
	lines = append(lines, setupLines(f)...)
	body := m.backendLines(f)
	body = append(body, m.flowLines()...)
	return m.frame(lines, body, footer)
}

// looked is a forward that is looked into.
type looked struct {
	ctl.ForwardCounters
	rated figures.Forward
}

// forward is the one that is looked into, if it is still there.
func (m *Model) forward() (looked, bool) {
	i := slices.IndexFunc(m.rated, func(f figures.Forward) bool { return f.Label == m.inside })
	if i < 0 {
		return looked{}, false
	}
	return looked{m.last.Forwards[i], m.rated[i]}, true
}

// setupLines say how long backends took to accept connections, if any was measured.
func setupLines(f looked) []Line {
	if f.Setup.Connections() == 0 {
		return nil
	}
	return []Line{{"connections accepted: " + figures.Setup(f.Setup), Plain}}
}

// flowLine is a row of the table of flows.
func (m *Model) flowLine(client, target, state, idle string) string {
	width := (m.width - flowStateWidth - idleWidth - 3) / 2
	return left(client, width) + " " + left(target, width) + " " + left(state, flowStateWidth) + " " + right(idle, idleWidth)
}

// flowLines are the part of the table of flows to which the user has scrolled.
func (m *Model) flowLines() []Line {
	rows := m.flowRows()
	end := min(m.scroll+m.flowRoom(), len(rows))
	return append([]Line{{m.flowLine("CLIENT", "TARGET", "STATE", "IDLE"), Title}}, rows[min(m.scroll, end):end]...)
}

// flowRows are the flows that pass the filter, and what there is to say of them.
func (m *Model) flowRows() []Line {
	switch {
	case m.last.Of == m.inside:
	case m.paused:
		return []Line{{"paused; space goes on, and reads flows", Weak}}
	default:
		return []Line{{"reading flows", Weak}}
	}
	var rows []Line
	for _, flow := range m.last.Flows {
		client, target, state := endpoint(flow.Client), endpoint(flow.Target), string(flow.State)
		if m.passes(client, target, state) {
			rows = append(rows, Line{m.flowLine(client, target, state, ctl.FormatDuration(flow.Idle.Truncate(time.Second))), Plain})
		}
	}
	if len(m.last.Flows) == mostFlows {
		rows = append(rows, Line{fmt.Sprintf("and perhaps more than these %d; `xfwd flows` has all", mostFlows), Weak})
	}
	if len(rows) == 0 {
		rows = []Line{{"no flows", Plain}}
	}
	return rows
}

// flowRoom is how many flows fit below what is said of the forward.
func (m *Model) flowRoom() int {
	room := m.height - linesAround - 1
	if f, found := m.forward(); found {
		room -= len(setupLines(f)) + len(m.backendLines(f))
	}
	return max(1, room)
}
