// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
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

// section is a part of the report for people.
type section struct {
	title string
	// rows are the cells of a table, headings first.
	rows [][]string
	// remarks are sentences about them.
	remarks []string
}

// sections are all parts of the report.
func (r report) sections() []section {
	var all []section
	for _, t := range r.Topologies {
		all = append(all, t.section())
	}
	if r.Programs != nil {
		all = append(all, r.Programs.section())
	}
	if len(r.Flows) > 0 {
		all = append(all, flowSection(r.Flows))
	}
	if len(r.Latencies) > 0 {
		all = append(all, latencySection(r.Latencies))
	}
	return all
}

// table is for a terminal.
func (r report) table(to io.Writer) error {
	fmt.Fprintln(to, r.conditions())
	for _, s := range r.sections() {
		fmt.Fprintf(to, "\n%s\n\n", s.title)
		tabs := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
		for _, row := range s.rows {
			fmt.Fprintln(tabs, strings.Join(row, "\t"))
		}
		if err := tabs.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(to)
		for _, line := range s.remarks {
			fmt.Fprintln(to, line)
		}
	}
	return nil
}

// markdown is for docs/benchmarks.md.
func (r report) markdown(to io.Writer) error {
	fmt.Fprintln(to, r.conditions())
	for _, s := range r.sections() {
		fmt.Fprintf(to, "\n| %s | %s |\n|---%s|\n", s.title, strings.Join(s.rows[0][1:], " | "), strings.Repeat("|---", len(s.rows[0])-1))
		for _, row := range s.rows[1:] {
			fmt.Fprintf(to, "| %s |\n", strings.Join(row, " | "))
		}
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
