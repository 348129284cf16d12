// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

func newList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		GroupID: groupLook,
		Short:   "List every forward, one line each",
		Long: `List every forward, one line each. With -o wide, json or yaml, with every
backend and with counters.`,
		Example: `  xfwd list
  xfwd list -o wide
  xfwd list -o json`,
		Args:              between(0, 0, "xfwd list"),
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.list(cmd) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) list(cmd *cobra.Command) error {
	instance, err := a.instance()
	if err != nil {
		return err
	}
	if a.output == formatTable {
		forwards, err := instance.Forwards(cmd.Context())
		if err != nil {
			return err
		}
		t := newTable(text("NAME"), text("FRONTEND"), text("BACKENDS"), text("SOURCE"))
		for _, f := range forwards {
			t.row(f.Name, f.Frontend.Label(), f.BackendsLabel(), string(f.Source))
		}
		return a.printForwards(t)
	}
	counted, err := instance.Counters(cmd.Context())
	if err != nil {
		return err
	}
	if a.output != formatWide {
		return a.encode(ctl.CountersViews(counted))
	}
	t := newTable(text("NAME"), text("FRONTEND"), text("BACKENDS"), text("SOURCE"), text("BALANCE"),
		number("IN-PKTS"), number("IN-BYTES"), number("OUT-PKTS"), number("OUT-BYTES"),
		number("OPENED"), number("ACTIVE"), text("CHECK"), text("EXPIRES"), text("COMMENT"))
	for _, f := range counted {
		c := f.Counters
		expires := ""
		if !f.ExpiresAt.IsZero() {
			expires = f.ExpiresAt.Format(time.RFC3339)
		}
		t.row(f.Name, f.Frontend.Label(), allBackends(f.Forward), string(f.Source), string(f.Balance),
			figures.Exact(c.Forward.Packets), figures.Exact(c.Forward.Bytes), figures.Exact(c.Reverse.Packets), figures.Exact(c.Reverse.Bytes),
			figures.Exact(c.Connections.Opened), figures.Exact(c.Connections.Active), f.Check.String(), expires, f.Comment)
	}
	return a.printForwards(t)
}

// printForwards prints a table of forwards, or in words that it is empty.
func (a *app) printForwards(t *table) error {
	if len(t.rows) == 0 {
		a.say("no forwards; `xfwd add 80 30080` adds one")
		return nil
	}
	return t.flush(a.stdout)
}

// allBackends lists the backends, however many.
func allBackends(f ctl.Forward) string {
	var labels []string
	for _, b := range f.Backends {
		labels = append(labels, b.Label())
	}
	return cmp.Or(strings.Join(labels, ", "), f.BackendsLabel())
}
