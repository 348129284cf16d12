// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/xfwd/xfwd/test/lab"
)

// manyFlows is how many flows there shall be at once, flowSlices in how many
// parts they are made: each is a sample.
const (
	manyFlows  = 1_000_000
	flowSlices = 20
)

// flowReport is what it takes to have many flows at once.
type flowReport struct {
	Title string `json:"title"`
	// Flows are those that were established at the end, of Wanted.
	Flows  uint64 `json:"flows"`
	Wanted uint64 `json:"wanted"`
	// Memory is what the kernel says that the maps take, in bytes. Available is
	// by how much less of the machine's memory was available then: that of maps
	// and programs, if nobody else took or gave any.
	Memory    uint64 `json:"memoryBytes"`
	Available int64  `json:"availableBytes"`
	// First is what the first packet of a TCP connection takes, Handshake what
	// the three do that establish a flow, in nanoseconds of one processor.
	First     spread `json:"firstNanoseconds"`
	Handshake spread `json:"handshakeNanoseconds"`
}

// flowCosts fills a flow table to the size that it is made for, with flows to
// this host and then with flows to elsewhere.
func (o options) flowCosts(ctx context.Context, say *progress) ([]flowReport, error) {
	var reports []flowReport
	for _, way := range []programWay{toHost, toElsewhere} {
		err := within(func(tb lab.TB) {
			before := availableMemory(tb)
			b := newProgramBench(tb, o, manyFlows)
			r := flowReport{Title: way.title, Wanted: manyFlows, Memory: b.mapMemory(), Available: before - availableMemory(tb)}
			c := b.newCrowd(way)
			var first, handshake []float64
			for slice := range flowSlices {
				if ctx.Err() != nil {
					tb.Fatalf("stopped: %v", context.Cause(ctx))
				}
				say.step("%s: flows, part %d of %d", way.title, slice+1, flowSlices)
				costs := c.shakeHands(slice*manyFlows/flowSlices, manyFlows/flowSlices)
				first = append(first, costs[0])
				handshake = append(handshake, costs[0]+costs[1]+costs[2])
			}
			r.First, r.Handshake = newSpread(first), newSpread(handshake)
			r.Flows = b.xfwd.Status().Flows.Established
			reports = append(reports, r)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.title, err)
		}
	}
	return reports, nil
}

func flowSection(flows []flowReport) section {
	s := section{
		title: fmt.Sprintf("%d flows at once", manyFlows),
		rows:  [][]string{{"", "established", "memory of all maps", "a flow", "first packet", "handshake", "connections a second"}},
	}
	for _, f := range flows {
		s.rows = append(s.rows, []string{
			f.Title, fmt.Sprint(f.Flows), fmt.Sprintf("%d MiB", f.Memory>>20), fmt.Sprintf("%d bytes", f.Memory/f.Wanted),
			fmt.Sprintf("%.0f ns [%.0f–%.0f]", f.First.Median, f.First.Q1, f.First.Q3),
			fmt.Sprintf("%.0f ns [%.0f–%.0f]", f.Handshake.Median, f.Handshake.Q1, f.Handshake.Q3),
			fmt.Sprintf("%.0f", 1e9/f.Handshake.Median),
		})
		s.remarks = append(s.remarks, fmt.Sprintf("%s: the machine had %d MiB less memory available; %d of %d flows were established.",
			f.Title, f.Available>>20, f.Flows, f.Wanted))
	}
	return s
}
