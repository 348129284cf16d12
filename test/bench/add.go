// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/xfwd/xfwd/test/lab"
)

// latency is how long `xfwd add` takes, as a whole process.
type latency struct {
	Title string `json:"title"`
	// Milliseconds from fork to end.
	Milliseconds spread `json:"milliseconds"`
	// CPU is the processor time of the process, also in milliseconds: much less
	// than the time that passed means that it waited, for the kernel or for a
	// processor.
	CPU   spread  `json:"cpuMilliseconds"`
	Limit float64 `json:"limitMilliseconds"`
}

// addRuns is how often each latency is taken.
const addRuns = 20

// addLatencies times `xfwd add` in a namespace like that of the local
// topology.
func addLatencies(ctx context.Context, say *progress) (latencies []latency, err error) {
	err = within(func(tb lab.TB) {
		x := lab.New(tb).Direct().Host.XFWD()
		var loading, loaded []lab.Result
		for range addRuns {
			if ctx.Err() != nil {
				tb.Fatalf("stopped: %v", context.Cause(ctx))
			}
			say.step("xfwd add, run %d of %d", len(loaded)+1, addRuns)
			loading = append(loading, x.Do("add", "80", "30080"))
			loaded = append(loaded, x.Do("add", "81", "30080"))
			x.Do("unload")
		}
		latencies = []latency{
			newLatency("xfwd add, dataplane not loaded", loading, 500),
			newLatency("xfwd add, dataplane loaded", loaded, 30),
		}
	})
	return latencies, err
}

func newLatency(title string, runs []lab.Result, limit float64) latency {
	var elapsed, cpu []float64
	for _, r := range runs {
		elapsed = append(elapsed, r.Elapsed.Seconds()*1000)
		cpu = append(cpu, r.CPU.Seconds()*1000)
	}
	return latency{title, newSpread(elapsed), newSpread(cpu), limit}
}

func latencySection(latencies []latency) section {
	s := section{title: "From start to end of the process", rows: [][]string{{"", "whole process", "CPU time", "shall not exceed"}}}
	for _, l := range latencies {
		s.rows = append(s.rows, []string{l.Title, milliseconds(l.Milliseconds), milliseconds(l.CPU), fmt.Sprintf("%.0f ms", l.Limit)})
	}
	return s
}

func milliseconds(s spread) string {
	return fmt.Sprintf("%.1f ms [%.1f–%.1f]", s.Median, s.Q1, s.Q3)
}
