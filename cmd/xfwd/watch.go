// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/xfwd/xfwd/internal/figures"
)

// interval is the value of a flag that says how often rates are shown: not so often
// that they mean nothing, or the processor is never free.
func interval(value *time.Duration) duration {
	return duration{value, 100 * time.Millisecond, "2s"}
}

// watch prints rates until the context ends.
func (a *app) watch(ctx context.Context, d dataplane, refs []string, every time.Duration) error {
	take := func() (figures.Sample, error) {
		forwards, err := counted(ctx, d, refs)
		return figures.Sample{At: a.now(), Forwards: forwards}, err
	}
	before, err := take()
	if err != nil {
		return err
	}
	t := newRateTable(a.terminal)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		after, err := take()
		if err != nil {
			return err
		}
		if a.terminal {
			t = newRateTable(a.terminal)
		}
		if err := a.printRates(t, after.At, figures.Between(before, after)); err != nil {
			return err
		}
		before = after
	}
}

// newRateTable has a column for the time where rounds follow each other.
func newRateTable(redrawn bool) *table {
	columns := []column{
		text("FRONTEND"), number("IN-P/S"), number("IN-B/S"), number("OUT-P/S"), number("OUT-B/S"),
		number("NEW/S"), number("ACTIVE"), number("DROP/S"),
	}
	if !redrawn {
		columns = append([]column{text("TIME")}, columns...)
	}
	return newTable(columns...)
}

// watchView is one round of watch as JSON shows it.
type watchView struct {
	Time     time.Time         `json:"time"`
	Forwards []figures.Forward `json:"forwards"`
}

// Control sequences of a terminal.
const (
	cursorHome = "\x1b[H"
	eraseBelow = "\x1b[J"
	eraseLine  = "\x1b[K"
)

// printRates prints one round.
func (a *app) printRates(t *table, at time.Time, forwards []figures.Forward) error {
	switch {
	case a.output == formatJSON:
		return encodeJSON(a.stdout, watchView{at, forwards}, "")
	case a.output == formatYAML:
		fmt.Fprintln(a.stdout, "---")
		return a.encode(watchView{at, forwards})
	}
	for _, f := range forwards {
		r := f.Rates
		cells := []string{
			f.Label, figures.Rate(r.Forward.Packets), figures.Rate(r.Forward.Bytes), figures.Rate(r.Reverse.Packets), figures.Rate(r.Reverse.Bytes),
			figures.Rate(r.Connections), figures.Short(f.Counters.Connections.Active), figures.Rate(r.Drops),
		}
		if !a.terminal {
			cells = append([]string{at.Format(time.TimeOnly)}, cells...)
		}
		t.row(cells...)
	}
	if !a.terminal {
		return t.flush(a.stdout)
	}
	// One write a round, and no cleared screen in between, so that nothing flickers.
	var b bytes.Buffer
	if err := t.flush(&b); err != nil {
		return err
	}
	screen := bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte(eraseLine+"\n"))
	_, err := fmt.Fprintf(a.stdout, "%s%s%s", cursorHome, screen, eraseBelow)
	return err
}
