// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/metrics"
)

const (
	// sweepInterval is how often expired flows are forgotten. The shortest timeout, that
	// of UDP without an answer, is two minutes.
	sweepInterval = time.Minute
	// expireInterval is how often it is looked whether forwards have expired. They take no
	// new flows by themselves; what waits is the end of their UDP flows.
	expireInterval = 10 * time.Second
	// watchAgain is how long after the kernel has stopped telling of changes, as when
	// the namespace is gone, it is asked again.
	watchAgain = 5 * time.Second
)

// upkeep is what keeps the dataplane up to date with the host, and free of forwards and
// flows that have expired. Without it commands do the one, and packets the other, when
// they come.
type upkeep struct {
	source *source
	counts *metrics.Upkeep
	log    io.Writer

	mu sync.Mutex
	// warnings are those of the last look at the host.
	warnings string
}

// run returns when ctx ends and nothing is under way any more.
func (u *upkeep) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			u.source.during(ctx, ofWatch, func(d Dataplane) error { return d.Watch(ctx, u) })
			wait(ctx, watchAgain)
		}
	})
	all.Go(func() {
		for wait(ctx, expireInterval) {
			u.source.during(ctx, ofExpiry, func(d Dataplane) error {
				expired, err := d.Expire(ctx)
				u.expired(expired)
				return err
			})
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			u.source.during(ctx, ofSweep, func(d Dataplane) error {
				swept, err := d.Sweep(ctx)
				u.counts.Swept(swept)
				return err
			})
			wait(ctx, sweepInterval)
		}
	})
	all.Wait()
}

// expired counts forwards that were deleted because they had expired, and tells of them.
func (u *upkeep) expired(forwards []ctl.Forward) {
	u.counts.Expired(len(forwards))
	for _, f := range forwards {
		fmt.Fprintf(u.log, "note: %s has expired\n", oneLine(f.String()))
	}
}

// Reconciled counts, and tells of what has expired, of sources that have changed and of
// warnings that are new.
func (u *upkeep) Reconciled(took time.Duration, r ctl.Report, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	u.counts.Whole()
	u.looked(ofAll, took, r, err)
}

// Followed does the same after a look at what has changed.
func (u *upkeep) Followed(took time.Duration, r ctl.Report, err error) {
	if !errors.Is(err, context.Canceled) {
		u.looked(ofFollow, took, r, err)
	}
}

func (u *upkeep) looked(by reader, took time.Duration, r ctl.Report, err error) {
	u.counts.Reconciled(took, err)
	u.source.note(by, err)
	if err != nil {
		return
	}
	u.expired(r.Expired)
	for _, note := range slices.Concat(r.Renamed, r.SourceChanges) {
		fmt.Fprintf(u.log, "note: %s\n", oneLine(note))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if all := strings.Join(r.Warnings, "\n"); all != u.warnings {
		u.warnings = all
		for _, warning := range r.Warnings {
			fmt.Fprintf(u.log, "warning: %s\n", oneLine(warning))
		}
	}
}

// NextHopsEnded counts.
func (u *upkeep) NextHopsEnded(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	u.counts.NextHopsEnded(err)
	u.source.note(ofNextHops, err)
}

// wait returns false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
