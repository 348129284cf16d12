// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/xfwd/xfwd/internal/ctl"
)

// update makes a change of the dataplane and prints what came of it. Of the
// forwards that stay, only those asked for are worth a word.
func (a *app) update(ctx context.Context, d dataplane, change ctl.Change, asked []ctl.Forward, o ctl.UpdateOptions) (ctl.Report, error) {
	report, err := d.Update(ctx, change, o)
	if err != nil {
		return ctl.Report{}, err
	}
	report.Kept = slices.DeleteFunc(report.Kept, func(f ctl.Forward) bool {
		return !slices.ContainsFunc(asked, f.Equal)
	})
	a.warn(report.Warnings)
	if !a.output.isText() {
		return report, a.encode(newReportView(report, o.DryRun))
	}
	for _, line := range reportLines(report, o.DryRun) {
		a.say("%s", line)
	}
	return report, nil
}

// reportLines tells a report, one line a forward.
func reportLines(r ctl.Report, dryRun bool) []string {
	added, removed, replaced := "added", "removed", "replaced"
	if dryRun {
		added, removed, replaced = "would add", "would remove", "would replace"
	}
	before := func(f ctl.Forward) int {
		return slices.IndexFunc(r.Removed, func(g ctl.Forward) bool { return g.Frontend.Equal(f.Frontend) })
	}
	var lines []string
	for _, f := range r.Removed {
		if !slices.ContainsFunc(r.Added, func(g ctl.Forward) bool { return g.Frontend.Equal(f.Frontend) }) {
			lines = append(lines, fmt.Sprintf("%s %s", removed, f))
		}
	}
	for _, f := range r.Added {
		if i := before(f); i >= 0 {
			lines = append(lines, fmt.Sprintf("%s %s (was %s)", replaced, f, r.Removed[i].BackendsLabel()))
		} else {
			lines = append(lines, fmt.Sprintf("%s %s", added, f))
		}
	}
	for _, f := range r.Kept {
		lines = append(lines, fmt.Sprintf("already there: %s", f))
	}
	return lines
}

// reportView is a report as JSON shows it.
type reportView struct {
	DryRun   bool              `json:"dryRun"`
	Added    []ctl.ForwardView `json:"added"`
	Removed  []ctl.ForwardView `json:"removed"`
	Kept     []ctl.ForwardView `json:"kept"`
	Warnings []string          `json:"warnings"`
}

func newReportView(r ctl.Report, dryRun bool) reportView {
	return reportView{
		DryRun:   dryRun,
		Added:    views(r.Added),
		Removed:  views(r.Removed),
		Kept:     views(r.Kept),
		Warnings: append([]string{}, r.Warnings...),
	}
}

func views(forwards []ctl.Forward) []ctl.ForwardView {
	views := []ctl.ForwardView{}
	for _, f := range forwards {
		views = append(views, f.View(nil))
	}
	return views
}
