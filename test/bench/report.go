// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
)

// report is everything that was measured; it is also the JSON output.
type report struct {
	Kernel     string  `json:"kernel"`
	Processors int     `json:"processors"`
	Offloads   string  `json:"offloads"`
	IPv6       bool    `json:"ipv6"`
	CPUs       string  `json:"cpus"`
	Rounds     int     `json:"rounds"`
	Size       float64 `json:"size"`
	Seed       uint64  `json:"seed"`
	// Notes are sentences about what disturbs the figures.
	Notes []string `json:"notes,omitempty"`

	Topologies []topologyReport `json:"topologies,omitempty"`
	Programs   *programReport   `json:"programs,omitempty"`
	Flows      []flowReport     `json:"flows,omitempty"`
	Latencies  []latency        `json:"latencies,omitempty"`
}

func newReport(o options) report {
	return report{
		Kernel: kernelRelease(), Processors: runtime.NumCPU(), Offloads: o.variant.offloads, IPv6: o.variant.ipv6,
		CPUs: o.cpus, Rounds: o.rounds, Size: o.size, Seed: o.seed, Notes: bystanders(),
	}
}

// judge says in a word what a figure means for a limit.
func judge(figure, limit float64) string {
	if figure > limit {
		return "OVER"
	}
	return "within"
}
