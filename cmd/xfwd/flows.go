// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

func newFlows(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "flows [FRONTEND|NAME]",
		GroupID: groupLook,
		Short:   "List live flows",
		Long: `List live flows, in no order. CLIENT sends to DESTINATION, and TARGET gets it;
with -o wide, SOURCE is what the target sees as the client.`,
		Example: `  xfwd flows
  xfwd flows 80
  xfwd flows -o json`,
		Args: between(0, 1, "xfwd flows 80"),
		RunE: func(cmd *cobra.Command, args []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			flows := instance.Flows(cmd.Context())
			if len(args) > 0 {
				forwards, err := instance.Forwards(cmd.Context())
				if err != nil {
					return err
				}
				if forwards, err = ctl.Select(forwards, args); err != nil {
					return err
				}
				flows = flowsOf(flows, forwards)
			}
			switch a.output {
			case formatJSON:
				return a.printFlowsJSON(flows)
			case formatYAML:
				return a.printFlowsYAML(flows)
			}
			return a.printFlows(flows)
		},
		ValidArgsFunction: a.completeForwards,
	}
}

// flowsOf passes the flows of the forwards on.
func flowsOf(flows iter.Seq2[ctl.Flow, error], forwards []ctl.Forward) iter.Seq2[ctl.Flow, error] {
	wanted := map[string]bool{}
	for _, f := range forwards {
		wanted[f.Frontend.Label()] = true
	}
	return func(yield func(ctl.Flow, error) bool) {
		for flow, err := range flows {
			if (err != nil || wanted[flow.Frontend.Label()]) && !yield(flow, err) {
				return
			}
		}
	}
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
			flow.State, idle(flow.Idle),
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
	State       string           `json:"state"`
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
	separator := "[\n  "
	for flow, err := range flows {
		if err != nil {
			return err
		}
		var line bytes.Buffer
		if err := encodeJSON(&line, newFlowView(flow), ""); err != nil {
			return err
		}
		if _, err := io.WriteString(a.stdout, separator+string(bytes.TrimSpace(line.Bytes()))); err != nil {
			return err
		}
		separator = ",\n  "
	}
	end := "\n]\n"
	if separator == "[\n  " {
		end = "[]\n"
	}
	_, err := io.WriteString(a.stdout, end)
	return err
}

// printFlowsYAML prints a list without holding it.
func (a *app) printFlowsYAML(flows iter.Seq2[ctl.Flow, error]) error {
	none := true
	for flow, err := range flows {
		if err != nil {
			return err
		}
		if err := a.encode([]flowView{newFlowView(flow)}); err != nil {
			return err
		}
		none = false
	}
	if none {
		fmt.Fprintln(a.stdout, "[]")
	}
	return nil
}
