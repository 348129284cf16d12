// SPDX-License-Identifier: Apache-2.0

package top

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// The widths of columns of backends and flows.
const (
	weightWidth, backendStateWidth, activeWidth = 6, 8, 6
	flowStateWidth, idleWidth                   = 11, 7
)

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
	rated := slices.IndexFunc(m.rated, func(f figures.Forward) bool { return f.Label == m.inside })
	body := m.backendLines(f)
	body = append(body, m.flowLines()...)
	return m.frame([]Line{head, {title, Strong}, m.totals(m.rated[rated : rated+1])}, body, footer)
}

// forward is the one that is looked into, if it is still there.
func (m *Model) forward() (ctl.ForwardCounters, bool) {
	i := slices.IndexFunc(m.last.Forwards, func(f ctl.ForwardCounters) bool { return f.Frontend.Label() == m.inside })
	if i < 0 {
		return ctl.ForwardCounters{}, false
	}
	return m.last.Forwards[i], true
}

// backendLines are a table of the backends, at most a third of the screen.
func (m *Model) backendLines(f ctl.ForwardCounters) []Line {
	order, longest := make([]int, len(f.Backends)), len("BACKEND")
	for i, b := range f.Backends {
		order[i] = i
		longest = max(longest, len(b.PlaceLabel()))
	}
	width := min(m.width-weightWidth-backendStateWidth-activeWidth-3, longest)
	line := func(backend, weight, state, active string) string {
		return left(backend, width) + " " + right(weight, weightWidth) + " " + left(state, backendStateWidth) + " " + right(active, activeWidth)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.Uses[b].Connections.Active, f.Uses[a].Connections.Active) })
	lines := []Line{{line("BACKEND", "WEIGHT", "STATE", "ACTIVE"), Title}}
	most := max(1, m.height/3-2)
	for n, i := range order {
		if n == most && len(order) > most {
			return append(lines, Line{fmt.Sprintf("and %d more; `xfwd show` has all", len(order)-n), Weak})
		}
		b := f.Backends[i]
		lines = append(lines, Line{line(b.PlaceLabel(), fmt.Sprint(b.Weight), b.StateLabel(f.Uses[i]), figures.Short(f.Uses[i].Connections.Active)), Plain})
	}
	if len(order) == 0 {
		lines = append(lines, Line{"none, clients are refused", Plain})
	}
	return append(lines, Line{})
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

// flowRoom is how many flows fit below the backends.
func (m *Model) flowRoom() int {
	room := m.height - linesAround - 1
	if f, found := m.forward(); found {
		room -= len(m.backendLines(f))
	}
	return max(1, room)
}
