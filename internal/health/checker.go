// SPDX-License-Identifier: Apache-2.0

// Package health finds out whether backends are alive: it asks each of them again and
// again, and says so when what it has found out becomes another. It changes nothing by
// itself.
package health

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// mostAtOnce is how many checks may be under way. Most of their time they wait, and each
// takes a socket and some ten kilobytes.
const mostAtOnce = 512

// jitter is by what share of the interval a check may come sooner or later, so that
// checks which have fallen into step fall out of it.
const jitter = 0.1

// Change is what has been found out about a backend.
type Change struct {
	ctl.BackendHealth
	// Before is what was known until now.
	Before ctl.Health
	// Why is what was wrong the last time; nil for a backend that is up.
	Why error
}

// Options are what a Checker needs.
type Options struct {
	// Dial opens a connection to an address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Version is that of the program.
	Version string
	// Checked is called after each check.
	Checked func(success bool)
	// Hindered is called instead if a check could not be made for reasons of this host,
	// and says nothing about the backend.
	Hindered func(error)
}

// Checker checks backends. Changes collect until they are taken.
type Checker struct {
	options Options
	probe   *probe
	slots   chan struct{}
	news    chan struct{}

	ctx  context.Context
	stop context.CancelFunc
	// running are the checks that are under way.
	running sync.WaitGroup

	mu      sync.Mutex
	watches map[place]*watch
	pending map[place]Change
}

// place is what backend of which forward.
type place struct{ frontend, backend string }

func placeOf(h ctl.BackendHealth) place {
	return place{h.Frontend.Label(), h.Backend.Place()}
}

// watch is a backend that is checked, from one check to the next.
type watch struct {
	backend ctl.CheckedBackend
	verdict verdict
	timer   *time.Timer
	ended   bool
	udp     udp
}

// New returns a checker that has nothing to check yet.
func New(o Options) *Checker {
	c := &Checker{
		options: o,
		probe:   newProbe(o),
		slots:   make(chan struct{}, mostAtOnce),
		news:    make(chan struct{}, 1),
		watches: make(map[place]*watch),
		pending: make(map[place]Change),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Set says which backends are to be checked from now on, and what is known of them. Those
// that are checked already in the same way go on as they were.
func (c *Checker) Set(backends []ctl.CheckedBackend) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.watches
	c.watches = make(map[place]*watch, len(backends))
	for _, b := range backends {
		at := placeOf(b.BackendHealth)
		w := old[at]
		if w == nil || w.backend.Check != b.Check || !slices.Equal(w.backend.Targets, b.Targets) {
			w = c.begin(b)
		} else {
			delete(old, at)
		}
		if _, unrecorded := c.pending[at]; !unrecorded {
			w.verdict.know(b.Health)
		}
		c.watches[at] = w
	}
	for at, w := range old {
		w.end()
		if c.watches[at] == nil {
			delete(c.pending, at)
		}
	}
}

// begin starts to check a backend: at any moment of its interval, so that a thousand of
// them do not begin all at once.
func (c *Checker) begin(b ctl.CheckedBackend) *watch {
	w := &watch{backend: b, verdict: verdict{rise: b.Check.Rise, fall: b.Check.Fall}}
	w.timer = time.AfterFunc(time.Duration(rand.Float64()*float64(b.Check.Interval)), func() { c.check(w) })
	return w
}

// end lets a check that is under way run to its end, of which nothing comes.
func (w *watch) end() {
	w.ended = true
	if w.timer.Stop() {
		w.udp.hangUp()
	}
}

// check makes one check of a backend and sees to the next.
func (c *Checker) check(w *watch) {
	c.mu.Lock()
	ended := w.ended
	if !ended {
		c.running.Add(1)
	}
	c.mu.Unlock()
	if ended {
		w.udp.hangUp()
		return
	}
	defer c.running.Done()
	next := time.Now().Add(interval(w.backend.Check.Interval))
	select {
	case c.slots <- struct{}{}:
		ctx, cancel := context.WithTimeout(c.ctx, w.backend.Check.Timeout)
		err := c.probe.any(ctx, w)
		cancel()
		<-c.slots
		c.note(w, err)
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.ended {
		w.udp.hangUp()
	} else {
		w.timer.Reset(max(0, time.Until(next)))
	}
}

// note draws conclusions from a check.
func (c *Checker) note(w *watch, err error) {
	if c.ctx.Err() != nil {
		return
	}
	if hindered(err) {
		c.options.Hindered(err)
		return
	}
	c.options.Checked(err == nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	before := w.verdict.health
	if w.ended || !w.verdict.hear(err == nil) {
		return
	}
	found := w.backend.BackendHealth
	found.Health = w.verdict.health
	at := placeOf(found)
	if earlier, unrecorded := c.pending[at]; unrecorded {
		before = earlier.Before
	}
	c.pending[at] = Change{found, before, reason(err, w.backend.Check)}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// interval is how long it is from one check to the next.
func interval(of time.Duration) time.Duration {
	return time.Duration(float64(of) * (1 - jitter + 2*jitter*rand.Float64()))
}

// News has something to read when there are changes to be taken.
func (c *Checker) News() <-chan struct{} { return c.news }

// Take returns the changes since it was called last.
func (c *Checker) Take() []Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	var changes []Change
	for _, change := range c.pending {
		changes = append(changes, change)
	}
	clear(c.pending)
	return changes
}

// GiveBack returns changes that could not be recorded, to be taken again.
func (c *Checker) GiveBack(changes []Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		at := placeOf(change.BackendHealth)
		if later, changed := c.pending[at]; changed {
			later.Before = change.Before
			change = later
		}
		if c.watches[at] != nil {
			c.pending[at] = change
		}
	}
}

// Close ends all checks. What is under way is given up.
func (c *Checker) Close() {
	c.stop()
	c.Set(nil)
	c.running.Wait()
}
