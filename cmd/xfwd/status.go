// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		GroupID: groupSystem,
		Short:   "Show whether the dataplane is loaded, where and why so",
		Long: `Show whether the dataplane is loaded, on which devices and hooks, how it is
attached and why so, how full the flow table is, and why packets were passed
on untouched or dropped. Above that, one line says of each thing that is wrong
what to do: a device that has no program, a backend that no route leads to, a
flow table that is nearly full, programs whose pins are gone.

Devices of one kind that are attached alike share a line, with their number.
-o wide and -o json have every hook of every device. With -o json, a hook that
should have a program and has none is one whose "missing" is true.`,
		Example: `  xfwd status
  xfwd status -o wide
  xfwd status -o json`,
		Args: between(0, 0, "xfwd status"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			status, err := instance.Status(cmd.Context())
			if err != nil {
				return err
			}
			status.Version = build().Version
			if !a.output.isText() {
				return a.encode(status)
			}
			return printStatus(a.stdout, status, a.output == formatWide)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func printStatus(w io.Writer, s ctl.Status, wide bool) error {
	if err := warnings(w, s.Warnings); err != nil {
		return err
	}
	line := func(key, value string) { fmt.Fprintf(w, "%-10s %s\n", key, figures.Printable(value)) }
	if !s.Loaded {
		line("dataplane", "not loaded; the first `xfwd add` or `xfwd restore` loads it")
		line("version", s.Version)
		line("kernel", s.Kernel)
		return nil
	}
	line("dataplane", "loaded")
	line("version", s.Version)
	line("kernel", s.Kernel)
	line("pins", s.Pins)
	line("forwards", fmt.Sprint(s.Forwards))
	line("flows", fmt.Sprintf("%d established, %d transitory, room for %d", s.Flows.Established, s.Flows.Transitory, s.Flows.MaxFlows))
	if evicted := s.Flows.Evicted.Established; evicted > 0 {
		line("evicted", fmt.Sprintf("%d established entries, for want of room", evicted))
	}
	line("passed", cmp.Or(figures.ByReason(s.Passes), "nothing"))
	line("dropped", cmp.Or(figures.ByReason(s.Drops), "nothing"))
	if len(s.Hooks) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(text("DEVICE"), text("HOOK"), text("MODE"), text("WHY"))
	if wide {
		for _, h := range s.Hooks {
			t.row(h.Device, h.Hook, h.Mode, h.Why)
		}
	} else {
		for _, g := range groupHooks(s.Hooks) {
			for _, h := range g.hooks {
				t.row(g.label(), h.names, h.mode, h.why)
			}
		}
	}
	return t.flush(w)
}

// warnings prints what is wrong with the dataplane, before everything else.
func warnings(w io.Writer, all []string) error {
	for _, warning := range all {
		if _, err := fmt.Fprintf(w, "warning: %s\n", oneLine(warning)); err != nil {
			return err
		}
	}
	return nil
}
