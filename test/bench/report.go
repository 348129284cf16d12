// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
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

	Topologies []topologyReport `json:"topologies,omitempty"`
	Latencies  []latency        `json:"latencies,omitempty"`
}

func newReport(o options) report {
	return report{
		Kernel: kernelRelease(), Processors: runtime.NumCPU(), Offloads: o.variant.offloads, IPv6: o.variant.ipv6,
		CPUs: o.cpus, Rounds: o.rounds, Size: o.size, Seed: o.seed,
	}
}

type topologyReport struct {
	Name      string           `json:"name"`
	Title     string           `json:"title"`
	Workloads []workloadReport `json:"workloads"`
}

type workloadReport struct {
	Title string `json:"title"`
	Unit  string `json:"unit"`
	Units int    `json:"unitsPerSample"`
	// DirectNanoseconds is what a unit costs without a forwarder.
	DirectNanoseconds spread  `json:"directNanoseconds"`
	SoftirqdShare     float64 `json:"softirqdShare"`
	// Limit is the ratio that xfwd promises.
	Limit float64      `json:"limit"`
	Peers []peerReport `json:"peers"`
}

type peerReport struct {
	Name  string `json:"name"`
	Ratio spread `json:"ratio"`
}

func newTopologyReport(p plan, columns []column) topologyReport {
	t := topologyReport{Name: p.topology.name, Title: p.topology.title}
	for _, c := range columns {
		w := workloadReport{
			Title: c.workload.title, Unit: c.workload.unit, Units: c.workload.units,
			DirectNanoseconds: c.directCost(), SoftirqdShare: c.softirqd(), Limit: c.workload.limit,
		}
		for _, peer := range p.peers {
			if peer.carries(c.workload.kind) {
				w.Peers = append(w.Peers, peerReport{peer.name(), c.ratio(peer)})
			}
		}
		t.Workloads = append(t.Workloads, w)
	}
	return t
}

// ratio finds the ratio of a peer.
func (w workloadReport) ratio(name string) (r spread, ok bool) {
	for _, p := range w.Peers {
		if p.Name == name {
			return p.Ratio, true
		}
	}
	return spread{}, false
}

// verdicts say in words what a workload's figures mean for xfwd.
func (w workloadReport) verdicts() []string {
	ours, ok := w.ratio(xfwd{}.name())
	if !ok {
		return nil
	}
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, w.Title+": "+fmt.Sprintf(format, args...))
	}
	if noise, ok := w.ratio(directAgain{}.name()); ok && noise.contains(ours.Median) {
		add("xfwd costs no more than can be told from noise")
	}
	if ours.Median <= w.Limit {
		add("xfwd %.3f is within its limit of %.2f", ours.Median, w.Limit)
	} else {
		add("xfwd %.3f EXCEEDS its limit of %.2f", ours.Median, w.Limit)
	}
	for _, p := range w.Peers {
		if theirs := p.Ratio.Median; p.Name != (directAgain{}).name() && p.Name != (xfwdBystander{}).name() && theirs < ours.Median {
			add("xfwd is BEHIND %s by %.3f", p.Name, ours.Median-theirs)
		}
	}
	return lines
}
