// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/xfwd/xfwd/internal/ctl"

// reportView is the outcome of a change as JSON shows it.
type reportView struct {
	DryRun   bool              `json:"dryRun"`
	Added    []ctl.ForwardView `json:"added"`
	Removed  []ctl.ForwardView `json:"removed"`
	Changed  []ctl.ForwardView `json:"changed"`
	Kept     []ctl.ForwardView `json:"kept"`
	Warnings []string          `json:"warnings"`
	Notes    []string          `json:"notes"`
}

func (o *outcome) view() reportView {
	return reportView{
		DryRun:   o.dryRun,
		Added:    views(o.Added),
		Removed:  views(o.Removed),
		Changed:  views(o.Changed),
		Kept:     views(o.Kept),
		Warnings: append([]string{}, o.Warnings...),
		Notes:    append([]string{}, o.Notes...),
	}
}

// views are forwards as JSON shows them, without counters.
func views(forwards []ctl.Forward) []ctl.ForwardView {
	views := []ctl.ForwardView{}
	for _, f := range forwards {
		views = append(views, f.View())
	}
	return views
}
