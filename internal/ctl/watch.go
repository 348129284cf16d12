// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/xfwd/xfwd/internal/loader"
)

// Changes of a host come in crowds: a device with its addresses and routes. What comes
// within gather is dealt with at once, but not later than patience after the first.
const (
	gather   = 50 * time.Millisecond
	patience = 500 * time.Millisecond
	// inspection is how often hooks are looked at, of whose loss the kernel tells nobody.
	inspection = 30 * time.Second
	// After a failure nothing is tried for recovery, then twice as long, up to despair.
	recovery = time.Second
	despair  = time.Minute
)

// Watcher is told what Watch does.
type Watcher interface {
	// Reconciled is called after each look at the host as a whole, with what it took and
	// what came of it.
	Reconciled(took time.Duration, r Report, err error)
	// Followed is called after a change of some devices or addresses, likewise. The report
	// has the warnings about all hooks.
	Followed(took time.Duration, r Report, err error)
	// NextHopsEnded is called after routes or neighbours have changed.
	NextHopsEnded(err error)
}

// Watch keeps the dataplane up to date with the host. It looks at the host as a whole, as
// Reconcile does, at first, where the kernel could not tell what has changed, and where an
// inspection finds something that is not as it should be. Of a device or an address that
// changes it looks at no more than that.
// It returns when ctx ends, or if the kernel tells no more.
func (i *Instance) Watch(ctx context.Context, w Watcher) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	changes := make(chan loader.Change, 64)
	told := func(c loader.Change) {
		select {
		case changes <- c:
		case <-ctx.Done():
		}
	}
	go func() {
		stop(i.loader.Events(ctx, func() { told(loader.WholeChange()) }, told))
	}()
	inspect := make(chan struct{})
	go func() {
		for sleep(ctx, inspection) {
			select {
			case inspect <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}()
	f := follower{instance: i}
	for {
		what, more := crowd(ctx, changes, inspect)
		if !more {
			return fmt.Errorf("watch the host: %w", context.Cause(ctx))
		}
		if what.inspect && !f.isComplete(ctx) {
			what.Merge(loader.WholeChange())
		}
		pause := recovery
		for f.heed(ctx, what.Change, w) != nil && sleep(ctx, pause) {
			pause = min(2*pause, despair)
		}
	}
}

// news is a change, or that it is time for an inspection, or both.
type news struct {
	loader.Change
	inspect bool
}

// crowd waits for a change and those that come soon after, and returns all of them as one.
// more is false when ctx has ended.
func crowd(ctx context.Context, changes <-chan loader.Change, inspect <-chan struct{}) (all news, more bool) {
	select {
	case c := <-changes:
		all.Merge(c)
	case <-inspect:
		all.inspect = true
		return all, true
	case <-ctx.Done():
		return all, false
	}
	last := time.After(patience)
	for {
		select {
		case c := <-changes:
			all.Merge(c)
		case <-time.After(gather):
			return all, true
		case <-last:
			return all, true
		case <-ctx.Done():
			return all, false
		}
	}
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
