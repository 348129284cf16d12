// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/health"
	"github.com/xfwd/xfwd/internal/metrics"
)

const (
	// lookInterval is how often it is looked whether the forwards have changed.
	lookInterval = time.Second
	// gatherChanges is how long changes of health wait for others, to be recorded in one
	// step with them; gatherTimes, that it is so many times what it took to record the last
	// ones, which with ten thousand forwards is much; but no longer than lookInterval.
	gatherChanges = 50 * time.Millisecond
	gatherTimes   = 4
)

// checks are those of the backends that are there at the moment. What they find out is
// recorded in the kernel, where the next program that checks finds it.
type checks struct {
	source  *source
	log     io.Writer
	checker *health.Checker
	// revision is that of the forwards whose backends are checked.
	revision ctl.Revision

	mu sync.Mutex
	// network is open for its network namespace alone; nil while nothing is checked.
	network Dataplane
	// hindrance is what kept the last check from being made, empty for nothing.
	hindrance string
}

func newChecks(s *source, counts *metrics.Checks, o Options) *checks {
	c := &checks{source: s, log: o.Errors}
	c.checker = health.New(health.Options{
		Dial:    c.dialer().DialContext,
		Version: o.Version,
		Checked: func(success bool) {
			counts.Checked(success)
			c.tellHindrance("")
		},
		Hindered: func(err error) { c.tellHindrance(oneLine(err.Error())) },
	})
	return c
}

// run returns when ctx ends and no check is under way any more.
func (c *checks) run(ctx context.Context) {
	looks := time.NewTicker(lookInterval)
	defer looks.Stop()
	for ctx.Err() == nil {
		begin := time.Now()
		c.source.during(ctx, ofChecks, func(d Dataplane) error {
			return errors.Join(c.record(ctx, d), c.look(ctx, d))
		})
		took := time.Since(begin)
		select {
		case <-looks.C:
		case <-c.checker.News():
			wait(ctx, min(max(gatherChanges, gatherTimes*took), lookInterval))
		case <-ctx.Done():
		}
	}
	c.checker.Close()
	if c.network != nil {
		c.network.Close()
	}
}

// record tells the kernel what has been found out. What cannot be recorded stays to be.
func (c *checks) record(ctx context.Context, d Dataplane) error {
	changes := c.checker.Take()
	if len(changes) == 0 {
		return nil
	}
	found, by := make([]ctl.BackendHealth, len(changes)), make(map[string]health.Change)
	for i, change := range changes {
		found[i] = change.BackendHealth
		by[backendLabel(change.BackendHealth)] = change
	}
	recorded, err := d.SetHealth(ctx, found)
	if err != nil {
		c.checker.GiveBack(changes)
		return err
	}
	for _, r := range recorded {
		c.tell(by[backendLabel(r)])
	}
	return nil
}

// look checks other backends from now on, if there are others.
func (c *checks) look(ctx context.Context, d Dataplane) error {
	backends, now, err := d.Checked(ctx, c.revision)
	if err != nil || now == c.revision {
		return err
	}
	if err := c.moveTo(len(backends) > 0); err != nil {
		return err
	}
	c.checker.Set(backends)
	c.revision = now
	return nil
}

// moveTo makes the network namespace that the name means now the one in which checks are
// made, if any are.
func (c *checks) moveTo(any bool) (err error) {
	var next Dataplane
	if any {
		if next, err = c.source.open(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.network != nil {
		err = c.network.Close()
	}
	c.network = next
	return err
}

// dialer connects in the network namespace. Sockets are made one after the other, for each
// takes a thread for a moment.
func (c *checks) dialer() *net.Dialer {
	return &net.Dialer{Control: func(_, _ string, socket syscall.RawConn) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.network == nil {
			return ctl.ErrNoSocket
		}
		return c.network.ReplaceSocket(socket)
	}}
}

// tell tells of a change.
func (c *checks) tell(change health.Change) {
	switch label := backendLabel(change.BackendHealth); {
	case change.Health == ctl.HealthDown:
		fmt.Fprintf(c.log, "warning: %s is down: %s\n", label, oneLine(change.Why.Error()))
	case change.Before == ctl.HealthDown:
		fmt.Fprintf(c.log, "note: %s is up again\n", label)
	}
}

// tellHindrance tells once what keeps checks from being made.
func (c *checks) tellHindrance(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why != c.hindrance && why != "" {
		fmt.Fprintf(c.log, "warning: backends cannot be checked: %s\n", why)
	}
	c.hindrance = why
}

// backendLabel names a backend and its forward, for people.
func backendLabel(h ctl.BackendHealth) string {
	return h.Backend.PlaceLabel() + " of " + h.Frontend.Label()
}
