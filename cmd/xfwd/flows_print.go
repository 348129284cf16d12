// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// limited passes so many flows on, all for 0.
func limited(flows iter.Seq2[ctl.Flow, error], limit uint32) iter.Seq2[ctl.Flow, error] {
	if limit == 0 {
		return flows
	}
	return func(yield func(ctl.Flow, error) bool) {
		left := limit
		for flow, err := range flows {
			if left--; !yield(flow, err) || left == 0 {
				return
			}
		}
	}
}

// printFlowCount prints a number, which JSON and YAML write in the same way.
func (a *app) printFlowCount(flows iter.Seq2[ctl.Flow, error]) error {
	count := 0
	for _, err := range flows {
		if err != nil {
			return err
		}
		count++
	}
	_, err := fmt.Fprintln(a.stdout, count)
	return err
}

// flowsAtOnce is how many flows are aligned with each other before they are
// printed, so that a million of them need no memory.
const flowsAtOnce = 1000

func (a *app) printFlows(flows iter.Seq2[ctl.Flow, error]) error {
	columns := []column{text("PROTO"), text("CLIENT"), text("DESTINATION"), text("TARGET"), text("STATE"), number("IDLE")}
	if a.output == formatWide {
		columns = append(columns, text("SOURCE"), text("FRONTEND"), text("NAME"))
	}
	t := newTable(columns...)
	count := 0
	for flow, err := range flows {
		if err != nil {
			return err
		}
		cells := []string{
			flow.Frontend.Protocol.String(), endpoint(flow.Client), endpoint(flow.Destination), endpoint(flow.Target),
			string(flow.State), idle(flow.Idle),
		}
		if a.output == formatWide {
			cells = append(cells, endpoint(flow.Source), flow.Frontend.Label(), flow.Name)
		}
		t.row(cells...)
		if count++; count%flowsAtOnce == 0 {
			if err := t.flush(a.stdout); err != nil {
				return err
			}
		}
	}
	if count == 0 {
		a.say("no flows")
		return nil
	}
	return t.flush(a.stdout)
}

func endpoint(e ctl.FlowEndpoint) string {
	if !e.Address.IsValid() {
		return ""
	}
	return netip.AddrPortFrom(e.Address, e.Port).String()
}

// idle prints a duration in whole seconds.
func idle(d time.Duration) string {
	return ctl.FormatDuration(d.Truncate(time.Second))
}

// flowView is a flow as JSON shows it.
type flowView struct {
	Name        string           `json:"name"`
	Frontend    ctl.FrontendView `json:"frontend"`
	Client      ctl.FlowEndpoint `json:"client"`
	Destination ctl.FlowEndpoint `json:"destination"`
	Source      ctl.FlowEndpoint `json:"source"`
	Target      ctl.FlowEndpoint `json:"target"`
	State       ctl.FlowState    `json:"state"`
	IdleSeconds int64            `json:"idleSeconds"`
}

func newFlowView(f ctl.Flow) flowView {
	return flowView{
		Name:        f.Name,
		Frontend:    f.Frontend.View(),
		Client:      f.Client,
		Destination: f.Destination,
		Source:      f.Source,
		Target:      f.Target,
		State:       f.State,
		IdleSeconds: int64(f.Idle / time.Second),
	}
}

// printFlowsJSON prints an array, one flow a line, without holding it.
func (a *app) printFlowsJSON(flows iter.Seq2[ctl.Flow, error]) error {
	out := bufio.NewWriter(a.stdout)
	defer out.Flush()
	separator := "[\n  "
	for flow, err := range flows {
		if err != nil {
			return err
		}
		var line bytes.Buffer
		if err := encodeJSON(&line, newFlowView(flow), ""); err != nil {
			return err
		}
		if _, err := io.WriteString(out, separator+string(bytes.TrimSpace(line.Bytes()))); err != nil {
			return err
		}
		separator = ",\n  "
	}
	end := "\n]\n"
	if separator == "[\n  " {
		end = "[]\n"
	}
	if _, err := io.WriteString(out, end); err != nil {
		return err
	}
	return out.Flush()
}

// printFlowsYAML prints a list without holding it.
func (a *app) printFlowsYAML(flows iter.Seq2[ctl.Flow, error]) error {
	out := bufio.NewWriter(a.stdout)
	defer out.Flush()
	none := true
	for flow, err := range flows {
		if err != nil {
			return err
		}
		if err := encodeYAML(out, []flowView{newFlowView(flow)}); err != nil {
			return err
		}
		none = false
	}
	if none {
		fmt.Fprintln(out, "[]")
	}
	return out.Flush()
}
