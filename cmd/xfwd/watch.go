// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// sample is the counters of some forwards at one time.
type sample struct {
	at       time.Time
	forwards []ctl.ForwardCounters
}

// interval is the value of a flag that says how often rates are shown: not so often
// that they mean nothing, or the processor is never free.
func interval(value *time.Duration) duration {
	return duration{value, 100 * time.Millisecond, "2s"}
}

// watch prints rates until the context ends.
func (a *app) watch(ctx context.Context, d dataplane, refs []string, every time.Duration) error {
	take := func() (sample, error) {
		forwards, err := counted(ctx, d, refs)
		return sample{a.now(), forwards}, err
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
		if err := a.printRates(t, after.at, ratesBetween(before, after)); err != nil {
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
	Time     time.Time      `json:"time"`
	Forwards []ratedForward `json:"forwards"`
}

// ratedForward is a forward with counters and what these grew by in a second.
type ratedForward struct {
	ctl.ForwardView
	Rates rates `json:"rates"`

	label string
}

type rates struct {
	Forward     trafficRate `json:"forward"`
	Reverse     trafficRate `json:"reverse"`
	Connections float64     `json:"connectionsPerSecond"`
	Drops       float64     `json:"dropsPerSecond"`
}

type trafficRate struct {
	Packets float64 `json:"packetsPerSecond"`
	Bytes   float64 `json:"bytesPerSecond"`
}

// ratesBetween compares two samples. A forward that the first one lacks, or
// whose counters began anew, counts from zero.
func ratesBetween(before, after sample) []ratedForward {
	seconds := after.at.Sub(before.at).Seconds()
	old := map[string]ctl.Counters{}
	for _, f := range before.forwards {
		old[f.Frontend.Label()] = f.Counters
	}
	rated := []ratedForward{}
	for _, f := range after.forwards {
		was, is := old[f.Frontend.Label()], f.Counters
		if is.Connections.Opened < was.Connections.Opened || is.Forward.Packets < was.Forward.Packets {
			was = ctl.Counters{}
		}
		perSecond := func(was, is uint64) float64 {
			if is < was || seconds <= 0 {
				return 0
			}
			return float64(is-was) / seconds
		}
		rated = append(rated, ratedForward{
			ForwardView: f.CountersView(),
			Rates: rates{
				Forward:     trafficRate{perSecond(was.Forward.Packets, is.Forward.Packets), perSecond(was.Forward.Bytes, is.Forward.Bytes)},
				Reverse:     trafficRate{perSecond(was.Reverse.Packets, is.Reverse.Packets), perSecond(was.Reverse.Bytes, is.Reverse.Bytes)},
				Connections: perSecond(was.Connections.Opened, is.Connections.Opened),
				Drops:       perSecond(total(was.Drops), total(is.Drops)),
			},
			label: f.Frontend.Label(),
		})
	}
	return rated
}

// Control sequences of a terminal.
const (
	cursorHome = "\x1b[H"
	eraseBelow = "\x1b[J"
	eraseLine  = "\x1b[K"
)

// printRates prints one round.
func (a *app) printRates(t *table, at time.Time, forwards []ratedForward) error {
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
			f.label, rate(r.Forward.Packets), rate(r.Forward.Bytes), rate(r.Reverse.Packets), rate(r.Reverse.Bytes),
			rate(r.Connections), short(f.Counters.Connections.Active), rate(r.Drops),
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

// rate prints a rate, rounded to a whole number.
func rate(perSecond float64) string {
	return short(uint64(perSecond + 0.5))
}
