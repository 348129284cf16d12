// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes the report in one of the formats of -o.
func (r report) print(to io.Writer, format string) error {
	switch format {
	case "json":
		return r.json(to)
	case "markdown":
		return r.markdown(to)
	}
	return r.table(to)
}

func (r report) json(to io.Writer) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// table is for a terminal.
func (r report) table(to io.Writer) error {
	fmt.Fprintln(to, r.conditions())
	for _, t := range r.Topologies {
		fmt.Fprintf(to, "\n%s\n\n", t.Title)
		tabs := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
		for _, row := range t.rows() {
			fmt.Fprintln(tabs, strings.Join(row, "\t"))
		}
		if err := tabs.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(to)
		for _, w := range t.Workloads {
			for _, line := range w.verdicts() {
				fmt.Fprintln(to, line)
			}
		}
	}
	if len(r.Latencies) > 0 {
		fmt.Fprintln(to)
	}
	for _, l := range r.Latencies {
		fmt.Fprintf(to, "%s: %s, of which CPU time %s; limit %.0f ms\n", l.Title, cell(l.Milliseconds), cell(l.CPU), l.Limit)
	}
	return nil
}

// markdown is for docs/benchmarks.md.
func (r report) markdown(to io.Writer) error {
	fmt.Fprintln(to, r.conditions())
	for _, t := range r.Topologies {
		rows := t.rows()
		fmt.Fprintf(to, "\n| %s | %s |\n|---%s|\n", t.Title, strings.Join(rows[0][1:], " | "), strings.Repeat("|---", len(rows[0])-1))
		for _, row := range rows[1:] {
			fmt.Fprintf(to, "| %s |\n", strings.Join(row, " | "))
		}
	}
	if len(r.Latencies) > 0 {
		fmt.Fprint(to, "\n| | whole process | CPU time | limit |\n|---|---|---|---|\n")
	}
	for _, l := range r.Latencies {
		fmt.Fprintf(to, "| %s | %s | %s | %.0f ms |\n", l.Title, cell(l.Milliseconds), cell(l.CPU), l.Limit)
	}
	return nil
}

// conditions are what one must know to repeat the figures.
func (r report) conditions() string {
	family := "IPv4"
	if r.IPv6 {
		family = "IPv6"
	}
	where := "all on one processor"
	if strings.Contains(r.CPUs, ",") {
		where = "client on one processor, the rest on another"
	}
	text := fmt.Sprintf("Kernel %s, %d processors, %s; %s, veth offloads %s; %d rounds.",
		r.Kernel, r.Processors, where, family, r.Offloads, r.Rounds)
	return strings.Join(append([]string{text}, r.Notes...), "\n")
}

// rows are the cells of the table, headings first.
func (t topologyReport) rows() [][]string {
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
	return append(rows, softirqd, others)
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

// cell shows milliseconds.
func cell(s spread) string {
	return fmt.Sprintf("%.1f ms [%.1f–%.1f]", s.Median, s.Q1, s.Q3)
}
