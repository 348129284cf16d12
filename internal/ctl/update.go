// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"

	"github.com/xfwd/xfwd/internal/loader"
)

// Update makes the forwards what change returns, in one step: a packet and a
// reader see all of it or nothing. Forwards that stay keep their flows and
// counters. It loads the dataplane when that is needed.
func (i *Instance) Update(ctx context.Context, change Change, o UpdateOptions) (Report, error) {
	begin := i.loader.Write
	if o.DryRun {
		begin = i.loader.Read
	}
	session, err := begin(ctx)
	if err != nil {
		return Report{}, classify(err)
	}
	defer session.Close()
	d, err := session.Open()
	if err != nil && !errors.Is(err, loader.ErrNotLoaded) {
		return Report{}, classify(err)
	}
	if d != nil {
		defer func() { d.Close() }()
	}
	report, host, err := i.plan(d, change)
	if err != nil || o.DryRun {
		return report, err
	}
	if d == nil {
		if len(report.Added) == 0 {
			return report, nil
		}
		if d, err = session.Load(i.maxFlows); err != nil {
			return Report{}, classify(err)
		}
		defer func() { d.Close() }()
		report.Loaded = true
	}
	warnings, err := put(d, host, report, o.Existing)
	if err != nil {
		if report.Loaded {
			err = errors.Join(err, session.Unload())
		}
		return Report{}, classify(err)
	}
	report.Warnings = append(report.Warnings, warnings...)
	report.Warnings = append(report.Warnings, i.targetWarnings(host, report.Added)...)
	return report, nil
}

// plan computes what a change means and checks that this host can do it. d is nil
// if nothing is loaded.
func (i *Instance) plan(d *loader.Dataplane, change Change) (Report, *loader.Host, error) {
	var have []Forward
	if d != nil {
		s, err := readState(d)
		if err != nil {
			return Report{}, nil, err
		}
		have = s.forwards()
	}
	want, err := change(have)
	if err != nil {
		return Report{}, nil, err
	}
	var report Report
	report.Added, report.Removed, report.Changed, report.Kept = Difference(have, want)
	host, err := i.loader.Host()
	if err != nil {
		return Report{}, nil, classify(err)
	}
	if err := checkCapacity(len(want)); err != nil {
		return Report{}, nil, err
	}
	for _, f := range report.Added {
		if err := checkHost(host, f); err != nil {
			return Report{}, nil, err
		}
	}
	if d != nil && i.maxFlows != 0 && i.maxFlows != d.Settings.MaxFlows {
		return Report{}, nil, Errorf(ErrConflict, "the flow table is made for %d flows and cannot be resized; `xfwd save`, `xfwd unload`, then `xfwd restore --max-flows %d`",
			d.Settings.MaxFlows, i.maxFlows)
	}
	return report, host, nil
}

// put brings the dataplane up to date with this command and the host, then makes
// the change.
func put(d *loader.Dataplane, host *loader.Host, report Report, existing Existing) (warnings []string, err error) {
	if err := d.Upgrade(); err != nil {
		return nil, err
	}
	hooks, err := d.Attach()
	if err != nil {
		return nil, err
	}
	if err := d.Tell(host); err != nil {
		return nil, err
	}
	c, err := prepare(d, host, report)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	return hookWarnings(hooks), c.settle(existing)
}
