// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

func newStats(a *app) *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use:     "stats [FRONTEND|NAME...]",
		GroupID: groupLook,
		Short:   "Show packets, bytes, connections and drops",
		Long: `Show packets, bytes, connections and drops by reason of all forwards or those
given. IN is what clients sent, OUT what was sent to them, as on the wire.
With --watch, show rates: redrawn on a terminal, line after line elsewhere,
and with -o json one object a line.`,
		Example: `  xfwd stats
  xfwd stats 80 dns -o json
  xfwd stats --watch
  xfwd stats --watch=5s 80`,
		RunE: func(cmd *cobra.Command, args []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			if every != 0 {
				return a.watch(cmd.Context(), instance, args, every)
			}
			forwards, err := counted(cmd.Context(), instance, args)
			if err != nil {
				return err
			}
			return a.printStats(forwards)
		},
		ValidArgsFunction: a.completeForwards,
	}
	cmd.Flags().Var(interval(&every), "watch", "show rates, again and again, at this `interval`")
	cmd.Flags().Lookup("watch").NoOptDefVal = "1s"
	return cmd
}

func (a *app) printStats(forwards []ctl.ForwardCounters) error {
	if !a.output.isText() {
		return a.encode(ctl.CountersViews(forwards))
	}
	t := newTable(text("FRONTEND"), number("IN-PKTS"), number("IN-BYTES"), number("OUT-PKTS"), number("OUT-BYTES"),
		number("OPENED"), number("ACTIVE"), number("DROPS"))
	print := figures.Short
	if a.output == formatWide {
		print = figures.Exact
	}
	var drops []string
	for _, f := range forwards {
		c := f.Counters
		t.row(f.Frontend.Label(),
			print(c.Forward.Packets), print(c.Forward.Bytes), print(c.Reverse.Packets), print(c.Reverse.Bytes),
			print(c.Connections.Opened), print(c.Connections.Active), print(figures.Total(c.Drops)))
		if reasons := figures.ByReason(c.Drops); reasons != "" {
			drops = append(drops, fmt.Sprintf("%s dropped: %s", f.Frontend.Label(), reasons))
		}
	}
	if err := a.printForwards(t); err != nil {
		return err
	}
	for _, line := range drops {
		fmt.Fprintln(a.stdout, figures.Printable(line))
	}
	return nil
}
