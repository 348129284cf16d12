// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// programReport is what the programs take for one packet.
type programReport struct {
	// NullTC and NullXDP are what programs take that do nothing, in nanoseconds.
	NullTC  spread             `json:"nullTCNanoseconds"`
	NullXDP spread             `json:"nullXDPNanoseconds"`
	Ways    []programWayReport `json:"ways"`
}

// programWayReport is one way through the programs.
type programWayReport struct {
	Title string `json:"title"`
	// Limit is the ratio to a null program that xfwd promises not to exceed.
	Limit   float64         `json:"limit"`
	Packets []passageReport `json:"packets"`
}

// passageReport is one packet on that way, its ratio that to a null program.
type passageReport struct {
	Title       string `json:"title"`
	Nanoseconds spread `json:"nanoseconds"`
	Ratio       spread `json:"ratio"`
}

// passageTitles name what programBench.passages returns.
var passageTitles = []string{"TCP request", "TCP reply", "UDP request", "UDP reply"}

func newProgramReport(rows [][]*passage, nulls map[ebpf.ProgramType][]float64) *programReport {
	r := &programReport{NullTC: newSpread(nulls[ebpf.SchedCLS]), NullXDP: newSpread(nulls[ebpf.XDP])}
	for i, way := range programWays {
		w := programWayReport{Title: way.title, Limit: way.limit}
		for j, p := range rows[i] {
			w.Packets = append(w.Packets, passageReport{passageTitles[j], newSpread(p.nanoseconds), newSpread(p.ratios)})
		}
		r.Ways = append(r.Ways, w)
	}
	return r
}

func (r programReport) section() section {
	s := section{title: "One packet of a known flow, next to a program that does nothing"}
	head := append([]string{""}, passageTitles...)
	s.rows = append(s.rows, append(head, "shall not exceed"))
	for _, w := range r.Ways {
		row := []string{w.Title}
		for _, p := range w.Packets {
			row = append(row, fmt.Sprintf("%.0f ns, %.2f [%.2f–%.2f]", p.Nanoseconds.Median, p.Ratio.Median, p.Ratio.Q1, p.Ratio.Q3))
			s.remarks = append(s.remarks, fmt.Sprintf("%s, %s: %.2f times a null program, %s its limit of %.0f",
				w.Title, p.Title, p.Ratio.Median, judge(p.Ratio.Median, w.Limit), w.Limit))
		}
		s.rows = append(s.rows, append(row, fmt.Sprintf("%.0f", w.Limit)))
	}
	s.remarks = append(s.remarks, fmt.Sprintf("A null program takes %.1f ns at tc, %.1f ns at XDP.", r.NullTC.Median, r.NullXDP.Median))
	return s
}
