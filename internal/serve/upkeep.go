// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/xfwd/xfwd/internal/metrics"
)

const (
	// sweepInterval is how often expired flows are forgotten. The shortest timeout, that
	// of UDP without an answer, is two minutes.
	sweepInterval = time.Minute
	// watchAgain is how long after the kernel has stopped telling of changes, as when
	// the namespace is gone, it is asked again.
	watchAgain = 5 * time.Second
)

// upkeep is what keeps the dataplane up to date with the host, and free of flows that
// have expired. Without it commands do the one, and packets the other, when they come.
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
	var both sync.WaitGroup
	both.Go(func() {
		for ctx.Err() == nil {
			u.with(ctx, func(d Dataplane) error { return d.Watch(ctx, u) })
			wait(ctx, watchAgain)
		}
	})
	both.Go(func() {
		for ctx.Err() == nil {
			u.with(ctx, func(d Dataplane) error {
				swept, err := d.Sweep(ctx)
				u.counts.Swept(swept)
				return err
			})
			wait(ctx, sweepInterval)
		}
	})
	both.Wait()
}

// with does something with the dataplane. What goes wrong is told by the source, but
// not that ctx has ended.
func (u *upkeep) with(ctx context.Context, do func(Dataplane) error) {
	_ = u.source.with(func(d Dataplane) error {
		if err := do(d); ctx.Err() == nil {
			return err
		}
		return nil
	})
}

// Reconciled counts, and tells of warnings that are new.
func (u *upkeep) Reconciled(took time.Duration, warnings []string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	u.counts.Reconciled(took, err)
	u.source.note(err)
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if all := strings.Join(warnings, "\n"); all != u.warnings {
		u.warnings = all
		for _, warning := range warnings {
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
	u.source.note(err)
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
