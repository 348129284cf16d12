// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/internal/figures"
)

// watchRounds watches a forward that gets 100 packets of 1 kB and one
// connection a second, for so many rounds, and resets once in between.
func watchRounds(t *testing.T, rounds int, adjust func(*environment), args ...string) result {
	t.Helper()
	var got result
	synctest.Test(t, func(t *testing.T) {
		f := busy(t)
		f.forwards[0].Counters.Drops = nil
		ctx, cancel := context.WithCancel(t.Context())
		samples := 0
		start := time.Now()
		f.counted = func() {
			if samples > rounds {
				cancel()
				return
			}
			samples++
			c := &f.forwards[0].Counters
			seconds := uint64(time.Since(start) / time.Second)
			c.Forward.Packets, c.Forward.Bytes = 5000+100*seconds, 100000*seconds
			c.Connections.Opened = seconds
			c.Drops = map[string]uint64{"no-room": 2 * seconds}
			if samples == 3 {
				c.Forward.Packets, c.Forward.Bytes = 40, 4000
			}
		}
		got = f.test(ctx, func(e *environment) {
			e.now = func() time.Time { return now.Add(time.Since(start)) }
			if adjust != nil {
				adjust(e)
			}
		}, args...)
	})
	return got
}

func TestWatchLines(t *testing.T) {
	got := watchRounds(t, 2, nil, "stats", "--watch=2s", "80")
	// The last round is the one in which the watch is told to end.
	want := `TIME      FRONTEND  IN-P/S  IN-B/S  OUT-P/S  OUT-B/S  NEW/S  ACTIVE  DROP/S
03:04:07  80/tcp       100    100k        0        0      1       7       2
03:04:09  80/tcp        20    2.0k      500     550G      2       7       4
03:04:11  80/tcp         0       0        0        0      0       7       0
`
	if diff := cmp.Diff(result{stdout: want}, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Error(diff)
	}
}

func TestWatchTerminal(t *testing.T) {
	got := watchRounds(t, 1, func(e *environment) { e.terminal = true }, "stats", "--watch", "80")
	screen := "\x1b[HFRONTEND  IN-P/S  IN-B/S  OUT-P/S  OUT-B/S  NEW/S  ACTIVE  DROP/S\x1b[K\n" +
		"80/tcp       100    100k        0        0      1       7       2\x1b[K\n\x1b[J"
	if !strings.HasPrefix(got.stdout, screen) || strings.Count(got.stdout, cursorHome) != 2 {
		t.Errorf("got %q, want it to begin with %q", got.stdout, screen)
	}
}

func TestWatchJSON(t *testing.T) {
	got := watchRounds(t, 1, nil, "stats", "--watch", "-o", "json")
	line, _, _ := strings.Cut(got.stdout, "\n")
	var round watchView
	if err := json.Unmarshal([]byte(line), &round); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	if !round.Time.Equal(now.Add(time.Second)) || len(round.Forwards) != 2 {
		t.Errorf("got %s", line)
	}
	web := round.Forwards[0]
	if web.Name != "web" || web.Rates.Forward != (figures.Traffic{Packets: 100, Bytes: 100000}) || web.Rates.Connections != 1 || web.Rates.Drops != 2 || web.Counters.Forward.Packets != 5100 {
		t.Errorf("got %s", line)
	}
	if n := strings.Count(got.stdout, "\n"); n != 2 {
		t.Errorf("%d lines for two rounds", n)
	}
}

// What is not there is found out at once.
func TestWatchNothing(t *testing.T) {
	got := busy(t).test(t.Context(), nil, "stats", "--watch", "81")
	if got.status != exitNotFound || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}
