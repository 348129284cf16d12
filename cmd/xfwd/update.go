// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// update makes a change of the dataplane and prints what came of it. Of the
// forwards that stay as they are, only those asked for are worth a word.
func (a *app) update(ctx context.Context, d dataplane, change ctl.Change, asked []ctl.Forward, o ctl.UpdateOptions) (ctl.Report, error) {
	done, err := a.perform(ctx, d, change, o)
	if err != nil {
		return ctl.Report{}, err
	}
	done.keep(asked)
	if !a.output.isText() {
		return done.Report, a.encode(done.view())
	}
	a.sayAll(done.lines("already there"))
	return done.Report, nil
}

// perform makes a change of the dataplane, and prints its warnings and notes.
func (a *app) perform(ctx context.Context, d dataplane, change ctl.Change, o ctl.UpdateOptions) (outcome, error) {
	done := outcome{dryRun: o.DryRun}
	var err error
	done.Report, err = d.Update(ctx, func(have []ctl.Forward) ([]ctl.Forward, error) {
		done.before = have
		return change(have)
	}, o)
	if err != nil {
		return outcome{}, err
	}
	a.warn(done.Warnings)
	a.note(done.Notes)
	return done, nil
}

// outcome is what came of a change.
type outcome struct {
	ctl.Report
	dryRun bool
	// before are the forwards that there were.
	before []ctl.Forward
}

// keep forgets the forwards that stay as they are, but for these.
func (o *outcome) keep(these []ctl.Forward) {
	asked := byFrontend(these)
	o.Kept = slices.DeleteFunc(o.Kept, func(f ctl.Forward) bool {
		other, found := asked[f.Frontend.Label()]
		return !found || !f.Equal(other)
	})
}

// lines tells the outcome, one line a forward; those that stay as they are, by the
// given word.
func (o *outcome) lines(kept string) []string {
	added, removed, replaced, changed := "added", "removed", "replaced", "changed"
	if o.dryRun {
		added, removed, replaced, changed = "would add", "would remove", "would replace", "would change"
	}
	was, is := byFrontend(o.before), byFrontend(o.Added)
	var lines []string
	for _, f := range o.Removed {
		if _, found := is[f.Frontend.Label()]; !found {
			lines = append(lines, fmt.Sprintf("%s %s", removed, f))
		}
	}
	for _, f := range o.Added {
		if old, found := was[f.Frontend.Label()]; found {
			lines = append(lines, fmt.Sprintf("%s %s (was %s)", replaced, f, old.BackendsLabel()))
		} else {
			lines = append(lines, fmt.Sprintf("%s %s", added, f))
		}
	}
	for _, f := range o.Changed {
		label := f.Frontend.Label()
		lines = append(lines, fmt.Sprintf("%s %s: %s", changed, label, changeOf(was[label], f)))
	}
	for _, f := range o.Kept {
		lines = append(lines, fmt.Sprintf("%s: %s", kept, f))
	}
	return lines
}

// byFrontend returns forwards by the labels of their frontends, which no two share.
func byFrontend(forwards []ctl.Forward) map[string]ctl.Forward {
	index := make(map[string]ctl.Forward, len(forwards))
	for _, f := range forwards {
		index[f.Frontend.Label()] = f
	}
	return index
}

// mostBackendsTold is how many changed backends of a forward are worth reading.
const mostBackendsTold = 4

// changeOfBackend says how a backend that stays differs.
func changeOfBackend(was, is ctl.Backend) string {
	change := ""
	if is.State != was.State {
		change += " " + string(is.State)
	}
	if is.Weight != was.Weight {
		change += fmt.Sprintf(" with weight %d", is.Weight)
	}
	return change
}

// changeOf says in a line how a forward that stays differs.
func changeOf(was, is ctl.Forward) string {
	parts := changesOfBackends(was, is)
	if is.Own != was.Own {
		parts = append(parts, "own "+string(is.Own))
	}
	switch {
	case is.ExpiresAt.Equal(was.ExpiresAt):
	case is.ExpiresAt.IsZero():
		parts = append(parts, "never expires")
	default:
		parts = append(parts, "expires "+is.ExpiresAt.Format(time.RFC3339))
	}
	switch {
	case is.Check == was.Check:
	case is.Check == ctl.Check{}:
		parts = append(parts, "no check")
	default:
		parts = append(parts, "check "+is.Check.String())
	}
	if is.MSS != was.MSS {
		parts = append(parts, "mss "+is.MSS.String())
	}
	return strings.Join(parts, ", ")
}

// changesOfBackends says how the backends of a forward differ.
func changesOfBackends(was, is ctl.Forward) []string {
	old := map[string]ctl.Backend{}
	for _, b := range was.Backends {
		old[b.Place()] = b
	}
	var parts []string
	for _, b := range is.Backends {
		before, found := old[b.Place()]
		delete(old, b.Place())
		if !found {
			parts = append(parts, b.Label()+" new")
		} else if change := changeOfBackend(before, b); change != "" {
			parts = append(parts, b.PlaceLabel()+change)
		}
	}
	for _, b := range was.Backends {
		if _, gone := old[b.Place()]; gone {
			parts = append(parts, b.PlaceLabel()+" gone")
		}
	}
	if more := len(parts) - mostBackendsTold; more > 0 {
		parts = append(parts[:mostBackendsTold], fmt.Sprintf("%d more", more))
	}
	return parts
}
