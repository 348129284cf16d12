// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// What a whole `xfwd add` may take by the clock: the median of addRuns.
const (
	addLimit     = 30 * time.Millisecond  // when the dataplane is loaded
	addLoadLimit = 500 * time.Millisecond // when it must be loaded
	addRuns      = 20

	// usualStart is what a command usually takes that does nothing, `xfwd version`. A
	// machine on which it takes longer is slow in starting programs, and in the system
	// calls and page faults of which the rest of add consists: the limits grow with it.
	usualStart = 8 * time.Millisecond

	// busyShare is the share of the machine's processor time, used by others
	// while we measure, from which on the clock measures them as well as us. Then
	// the limit on the clock is wider, and the processor time of xfwd alone must
	// still be within the plain limit.
	busyShare  = 0.10
	busyFactor = 4
)

// xfwd add takes at most 30 ms when the dataplane is loaded and 500 ms when it
// must be. Not parallel, so that nothing else of this package runs.
func TestAddIsQuick(t *testing.T) {
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()

	measure(t, x, "loading", addLoadLimit, func() lab.Result {
		x.Do("unload")
		return x.Add("80", "30080")
	})
	port := 1000
	measure(t, x, "loaded", addLimit, func() lab.Result {
		port++
		return x.Add(strconv.Itoa(port), "30080")
	})
}

func measure(t *testing.T, x *lab.XFWD, name string, limit time.Duration, run func() lab.Result) {
	t.Helper()
	var added, started costs
	before := processorTime(t)
	start := time.Now()
	for range addRuns {
		added.note(run())
		started.note(x.Do("version"))
	}
	others := processorTime(t).sub(before)
	clock, own := added.medians()
	startClock, startOwn := started.medians()
	scaled := func(start time.Duration) time.Duration {
		return time.Duration(float64(limit) * max(1, start.Seconds()/usualStart.Seconds()))
	}
	clockLimit, ownLimit := scaled(startClock), scaled(startOwn)
	if others.share() > busyShare {
		clockLimit *= busyFactor
	}
	t.Logf("%s: median of %d: %v by the clock (limit %v), %v processor time (limit %v), of which starting takes %v and %v; others used %.0f %% of the machine for %v",
		name, addRuns, clock, clockLimit, own, ownLimit, startClock, startOwn, 100*others.share(), time.Since(start).Round(time.Millisecond))
	if clock > clockLimit || own > ownLimit {
		t.Errorf("%s: xfwd add is too slow", name)
	}
}

// costs are what runs of a command took.
type costs struct{ clock, own []time.Duration }

func (c *costs) note(r lab.Result) {
	c.clock, c.own = append(c.clock, r.Elapsed), append(c.own, r.CPU)
}

func (c *costs) medians() (clock, own time.Duration) {
	median := func(d []time.Duration) time.Duration {
		slices.Sort(d)
		return (d[len(d)/2-1] + d[len(d)/2]) / 2
	}
	return median(c.clock), median(c.own)
}

// machineTime is processor time of the whole machine and of this process with
// its children, in units of 1/100 s.
type machineTime struct{ busy, total, ours float64 }

func (m machineTime) sub(n machineTime) machineTime {
	return machineTime{m.busy - n.busy, m.total - n.total, m.ours - n.ours}
}

// share is the part of the machine that others used.
func (m machineTime) share() float64 {
	return max(0, m.busy-m.ours) / max(1, m.total)
}

func processorTime(t *testing.T) (m machineTime) {
	t.Helper()
	for i, field := range numbers(t, "/proc/stat", 1, 9) {
		m.total += field
		if i != 3 && i != 4 { // idle and waiting for disks
			m.busy += field
		}
	}
	// User and system time of this process and of the children it waited for.
	for _, field := range numbers(t, "/proc/self/stat", 13, 17) {
		m.ours += field
	}
	return m
}

// numbers returns some of the fields, counted from 0, of the first line of a
// file whose first two fields have no blanks in them.
func numbers(t *testing.T, file string, from, to int) (fields []float64) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	for _, field := range strings.Fields(line)[from:to] {
		number, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		fields = append(fields, number)
	}
	return fields
}
