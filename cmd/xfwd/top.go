// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/top"
)

func newTop(a *app) *cobra.Command {
	every := time.Second
	cmd := &cobra.Command{
		Use:     "top",
		GroupID: groupLook,
		Short:   "Watch what forwards carry, in the terminal",
		Long: `Watch what forwards carry, in the terminal: packets, bits, new connections and
drops a second, those that are busiest first. Enter looks into a forward, at its
backends and flows; s sorts, / filters, space pauses, ? tells the other keys, and
q leaves. With many flows it reads less often, so as to leave the processor to
others.`,
		Example: `  xfwd top
  xfwd top --interval 5s`,
		Args: between(0, 0, "xfwd top"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !a.output.isText() {
				return ctl.Errorf(ctl.ErrSyntax, "top draws on a terminal; write `xfwd stats --watch -o json` for a program")
			}
			if !a.terminal {
				return errors.New("top takes a terminal that it can draw on; `xfwd stats --watch` shows rates line by line")
			}
			instance, err := a.instance()
			if err != nil {
				return err
			}
			return top.Run(cmd.Context(), instance, top.Options{Interval: every, Now: a.now, Colourless: a.getenv("NO_COLOR") != ""})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Var(interval(&every), "interval", "the `interval` at which the dataplane is read")
	return cmd
}
