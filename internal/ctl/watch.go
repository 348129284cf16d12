// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"fmt"
	"slices"
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
	// NextHopsEnded is called after routes or neighbours have changed.
	NextHopsEnded(err error)
}

// Watch keeps the dataplane up to date with the host, as Reconcile and EndNextHops do:
// at first, whenever the kernel says that something has changed, and where a hook is
// found to be missing. It returns when ctx ends, or if the kernel tells no more.
func (i *Instance) Watch(ctx context.Context, w Watcher) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	events := make(chan loader.Event, 64)
	told := func(e loader.Event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	go func() {
		stop(i.loader.Events(ctx, func() { told(loader.HostChanged) }, told))
	}()
	go func() {
		for sleep(ctx, inspection) {
			if i.isIncomplete(ctx) {
				told(loader.HostChanged)
			}
		}
	}()
	for {
		what, more := crowd(ctx, events)
		if !more {
			return fmt.Errorf("watch the host: %w", context.Cause(ctx))
		}
		pause := recovery
		for i.heed(ctx, what, w) != nil && sleep(ctx, pause) {
			pause = min(2*pause, despair)
		}
	}
}

// isIncomplete says whether a hook is missing. What cannot be read is nobody's to mend.
func (i *Instance) isIncomplete(ctx context.Context) bool {
	incomplete := false
	_ = i.read(ctx, func(d *loader.Dataplane) error {
		hooks, err := d.Hooks()
		incomplete = slices.ContainsFunc(hooks, func(h loader.Hook) bool { return h.Missing })
		return err
	})
	return incomplete
}

// heed does what an event asks for.
func (i *Instance) heed(ctx context.Context, what loader.Event, w Watcher) error {
	if what == loader.NextHopsChanged {
		err := i.EndNextHops(ctx)
		w.NextHopsEnded(err)
		return err
	}
	begin := time.Now()
	r, err := i.Reconcile(ctx)
	w.Reconciled(time.Since(begin), r, err)
	return err
}

// crowd waits for an event and those that come soon after, and returns the most that any
// of them asks for. more is false when ctx has ended.
func crowd(ctx context.Context, events <-chan loader.Event) (most loader.Event, more bool) {
	select {
	case most = <-events:
	case <-ctx.Done():
		return most, false
	}
	last := time.After(patience)
	for {
		select {
		case e := <-events:
			most = max(most, e)
		case <-time.After(gather):
			return most, true
		case <-last:
			return most, true
		case <-ctx.Done():
			return most, false
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
