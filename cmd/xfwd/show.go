// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

func newShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show FRONTEND|NAME",
		GroupID: groupLook,
		Short:   "Show everything known about one forward",
		Long: `Show everything known about one forward, or all of one name. Forward counts
what clients sent, reverse what was sent to them.`,
		Example: `  xfwd show 80
  xfwd show dns -o json`,
		Args: between(1, 1, "xfwd show 80"),
		RunE: func(cmd *cobra.Command, args []string) error {
			instance, err := a.instance()
			if err != nil {
				return err
			}
			forwards, err := counted(cmd.Context(), instance, args)
			if err != nil {
				return err
			}
			if !a.output.isText() {
				return a.encode(ctl.CountersViews(forwards))
			}
			for i, f := range forwards {
				if i > 0 {
					fmt.Fprintln(a.stdout)
				}
				if err := describe(a.stdout, f, a.now()); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: a.completeForwards,
	}
}

// describe prints a forward as a block of lines.
func describe(w io.Writer, f ctl.ForwardCounters, now time.Time) error {
	fmt.Fprintln(w, figures.Printable(f.Forward.String()))
	line := func(key, value string) { fmt.Fprintf(w, "  %-12s %s\n", key, figures.Printable(value)) }
	line("name", cmp.Or(f.Name, "none"))
	line("devices", cmp.Or(strings.Join(f.Frontend.Devices, ", "), "any"))
	line("source", string(f.Source))
	if len(f.SourceAddresses) > 0 {
		line("masquerade", "as "+addresses(f.SourceAddresses))
	}
	line("balance", string(f.Balance))
	affinity := "none"
	if f.Affinity != 0 {
		affinity = ctl.FormatDuration(f.Affinity)
	}
	if f.AffinityGroup != "" {
		affinity += ", shared in the group " + f.AffinityGroup
	}
	line("affinity", affinity)
	line("own", string(f.Own))
	line("check", checkOf(f.Forward))
	line("mss", f.MSS.String())
	line("comment", cmp.Or(f.Comment, "none"))
	line("expires", expiryOf(f.Forward, now))
	c := f.Counters
	line("forward", fmt.Sprintf("%d packets, %d bytes", c.Forward.Packets, c.Forward.Bytes))
	line("reverse", fmt.Sprintf("%d packets, %d bytes", c.Reverse.Packets, c.Reverse.Bytes))
	line("connections", fmt.Sprintf("%d opened, %d active", c.Connections.Opened, c.Connections.Active))
	if f.Setup.Connections() > 0 {
		line("accepted", figures.Setup(f.Setup))
	}
	line("drops", cmp.Or(figures.ByReason(c.Drops), "none"))
	if len(f.Backends) == 0 {
		line("backends", "none, clients are refused")
		return nil
	}
	fmt.Fprintln(w)
	return backendTable(f).flush(w)
}

// checkOf says how the backends of a forward are looked after.
func checkOf(f ctl.Forward) string {
	c := f.Check
	if c == (ctl.Check{}) {
		return "none"
	}
	what := string(c.Kind)
	if c.Path != "" {
		what += " " + c.Path
	}
	if c.Port != 0 {
		what += fmt.Sprintf(" at port %d", c.Port)
	}
	return fmt.Sprintf("%s every %s, timeout %s, rise %d, fall %d",
		what, ctl.FormatDuration(c.Interval), ctl.FormatDuration(c.Timeout), c.Rise, c.Fall)
}

// expiryOf says when a forward ends by itself, and how long that takes.
func expiryOf(f ctl.Forward, now time.Time) string {
	if f.ExpiresAt.IsZero() {
		return "never"
	}
	const day = 24 * time.Hour
	left := max(0, f.ExpiresAt.Sub(now))
	in := ctl.FormatDuration(left.Truncate(time.Second))
	switch {
	case left >= 2*day:
		in = fmt.Sprintf("%d days", left/day)
	case left >= time.Minute:
		in = ctl.FormatDuration(left.Truncate(time.Minute))
	}
	return f.ExpiresAt.Format(time.RFC3339) + ", in " + in
}

// backendTable has a row for each backend of a forward.
func backendTable(f ctl.ForwardCounters) *table {
	t := newTable(text("BACKEND"), number("WEIGHT"), text("STATE"), number("CONNECTIONS"),
		number("IN-BYTES"), number("OUT-BYTES"), text("SOURCE"))
	for i, b := range f.Backends {
		use := f.Uses[i]
		connections := figures.Exact(use.Connections.Active)
		if b.State == ctl.BackendDraining && use.Connections.Active > 0 {
			connections += " left"
		}
		t.row(b.PlaceLabel(), figures.Exact(uint64(b.Weight)), b.StateLabel(use), connections,
			figures.Short(use.Forward.Bytes), figures.Short(use.Reverse.Bytes), source(use))
	}
	return t
}

// addresses lists addresses of which each flow has one.
func addresses(all []netip.Addr) string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return strings.Join(words, " or ")
}

// source says whose address a backend sees.
func source(use ctl.BackendUse) string {
	switch {
	case !use.Masqueraded:
		return "kept"
	case len(use.SourcePool) > 0:
		return "masqueraded as " + addresses(use.SourcePool)
	case !use.MasqueradeAddress.IsValid():
		return "masqueraded"
	}
	return "masqueraded as " + use.MasqueradeAddress.String()
}
