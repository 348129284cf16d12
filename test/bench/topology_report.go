// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"time"
)

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
	DirectNanoseconds spread `json:"directNanoseconds"`
	// SoftirqdShare is the part of the processor time that the kernel's softirq
	// threads had, OthersShare the part of the time that passed in which none of
	// this ran; on two processors that is not others' doing alone, and zero.
	SoftirqdShare float64 `json:"softirqdShare"`
	OthersShare   float64 `json:"othersShare,omitempty"`
	// Limit is the ratio that xfwd promises; 0 where it promises none.
	Limit float64      `json:"limit,omitempty"`
	Peers []peerReport `json:"peers"`
}

type peerReport struct {
	Name string `json:"name"`
	// Ratio is what the peer costs relative to direct.
	Ratio spread `json:"ratio"`
	// Xfwd is what xfwd costs relative to the peer; zero where that was not
	// measured.
	Xfwd spread `json:"xfwd"`
}

func newTopologyReport(p plan, columns []column) topologyReport {
	t := topologyReport{Name: p.topology.name, Title: p.topology.title}
	for _, c := range columns {
		w := workloadReport{
			Title: c.workload.title, Unit: c.workload.unit, Units: c.workload.units,
			DirectNanoseconds: c.directCost(), Limit: p.topology.limits[c.workload.kind],
		}
		w.SoftirqdShare, w.OthersShare = c.shares()
		if p.placement.client != p.placement.server {
			w.OthersShare = 0
		}
		for _, peer := range p.peers[1:] {
			if peer.carries(c.workload.kind) {
				w.Peers = append(w.Peers, peerReport{peer.name(), c.ratio(peer, direct{}), c.ratio(xfwd{}, peer)})
			}
		}
		t.Workloads = append(t.Workloads, w)
	}
	return t
}

// peer finds what is reported of a peer.
func (w workloadReport) peer(name string) (p peerReport, ok bool) {
	i := slices.IndexFunc(w.Peers, func(p peerReport) bool { return p.Name == name })
	if i < 0 {
		return peerReport{}, false
	}
	return w.Peers[i], true
}

// verdicts say in words what a workload's figures mean for xfwd.
func (w workloadReport) verdicts() []string {
	ours, ok := w.peer(xfwd{}.name())
	if !ok {
		return nil
	}
	var lines []string
	if w.Limit > 0 {
		line := fmt.Sprintf("%s: xfwd %.3f, %s its limit of %.2f", w.Title, ours.Ratio.Median, judge(ours.Ratio.Median, w.Limit), w.Limit)
		if noise, ok := w.peer(directAgain{}.name()); ok && noise.Ratio.contains(ours.Ratio.Median) {
			line += "; no more than noise"
		}
		lines = append(lines, line)
	}
	for _, p := range w.Peers {
		if slices.Contains(references, p.Name) || p.Name == ours.Name || p.Xfwd.Median <= 1 {
			continue
		}
		line := fmt.Sprintf("%s: xfwd costs %.3f [%.3f–%.3f] of %s, BEHIND it", w.Title, p.Xfwd.Median, p.Xfwd.Q1, p.Xfwd.Q3, p.Name)
		if p.Xfwd.contains(1) {
			line += ", within noise"
		}
		lines = append(lines, line)
	}
	return lines
}

// references are peers that do not do what xfwd does.
var references = []string{directAgain{}.name(), xfwdBystander{}.name(), redirectAlone{}.name()}

func (t topologyReport) section() section {
	head := []string{""}
	cost := []string{"direct"}
	softirqd := []string{"CPU time of ksoftirqd"}
	others := []string{"time that others took"}
	limits, limited := []string{"what xfwd shall not exceed"}, false
	var names []string
	seen := map[string]bool{}
	for _, w := range t.Workloads {
		head = append(head, w.Title)
		cost = append(cost, fmt.Sprintf("%v a %s", rounded(w.DirectNanoseconds.Median), w.Unit))
		softirqd = append(softirqd, percent(w.SoftirqdShare))
		others = append(others, percent(w.OthersShare))
		limit := "–"
		if w.Limit > 0 {
			limit, limited = fmt.Sprintf("%.2f", w.Limit), true
		}
		limits = append(limits, limit)
		for _, p := range w.Peers {
			if !seen[p.Name] {
				seen[p.Name] = true
				names = append(names, p.Name)
			}
		}
	}
	rows := [][]string{head, cost}
	for _, name := range names {
		row := []string{name}
		for _, w := range t.Workloads {
			cell := "–"
			if p, ok := w.peer(name); ok {
				cell = fmt.Sprintf("%.2f [%.2f–%.2f]", p.Ratio.Median, p.Ratio.Q1, p.Ratio.Q3)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	if limited {
		rows = append(rows, limits)
	}
	s := section{title: t.Title, rows: append(rows, softirqd, others)}
	for _, w := range t.Workloads {
		s.remarks = append(s.remarks, w.verdicts()...)
	}
	return s
}

// percent shows a share. None at all is shown as unknown.
func percent(share float64) string {
	if share == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

// rounded is a number of nanoseconds to about three digits.
func rounded(ns float64) time.Duration {
	d := time.Duration(ns)
	switch {
	case d > 100*time.Microsecond:
		return d.Round(time.Microsecond)
	case d > 10*time.Microsecond:
		return d.Round(100 * time.Nanosecond)
	}
	return d.Round(10 * time.Nanosecond)
}
