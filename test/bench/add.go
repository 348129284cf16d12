// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// latency is how long `xfwd add` takes, as a whole process.
type latency struct {
	Title string `json:"title"`
	// Milliseconds from fork to end.
	Milliseconds spread  `json:"milliseconds"`
	Limit        float64 `json:"limitMilliseconds"`
}

// addRuns is how often each latency is taken.
const addRuns = 20

// addLatencies times `xfwd add` in a namespace like that of the local
// topology.
func addLatencies(ctx context.Context, say *progress) (latencies []latency, err error) {
	err = within(func(tb lab.TB) {
		x := lab.New(tb).Direct().Host.XFWD()
		var loading, loaded []float64
		for range addRuns {
			if ctx.Err() != nil {
				tb.Fatalf("stopped: %v", context.Cause(ctx))
			}
			say.step("xfwd add, run %d of %d", len(loaded)+1, addRuns)
			loading = append(loading, milliseconds(x.Do("add", "80", "30080").Elapsed))
			loaded = append(loaded, milliseconds(x.Do("add", "81", "30080").Elapsed))
			x.Do("unload")
		}
		latencies = []latency{
			{"xfwd add, dataplane not loaded", newSpread(loading), 500},
			{"xfwd add, dataplane loaded", newSpread(loaded), 30},
		}
	})
	if err != nil {
		return nil, fmt.Errorf("xfwd add: %w", err)
	}
	return latencies, nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
