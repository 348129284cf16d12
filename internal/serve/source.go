// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/share"
)

// source is the dataplane that is there at the moment.
type source struct {
	open func() (Dataplane, error)
	// Those who ask at the same time share these looks.
	measures *share.Look[ctl.Measurement]
	statuses *share.Look[ctl.Status]
	loads    *share.Look[bool]

	mu  sync.Mutex
	log io.Writer
	// failure is what was wrong the last time, empty for nothing, and failed is the reader
	// who found it.
	failure string
	failed  reader
}

// reader is who reads the dataplane. One of a part can succeed where another part is
// damaged, so it ends no other reader's failure.
type reader int

const (
	ofAll reader = iota
	ofWatch
	ofFollow
	ofNextHops
	ofExpiry
	ofSweep
	ofChecks
)

// check fails if the dataplane can never be read: there is no such network
// namespace, or the privileges do not allow it.
func (s *source) check(ctx context.Context) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.Loaded(ctx); errors.Is(err, ctl.ErrUnsupported) {
		return err
	}
	return nil
}

// lookPatience is how long a look may take: commands can keep the dataplane to themselves.
const lookPatience = 9 * time.Second

func newSource(o Options) *source {
	s := &source{open: o.Open, log: o.Errors}
	s.measures = shareLooks(s, Dataplane.Measure)
	s.statuses = shareLooks(s, Dataplane.Status)
	s.loads = shareLooks(s, Dataplane.Loaded)
	return s
}

func shareLooks[T any](s *source, ask func(Dataplane, context.Context) (T, error)) *share.Look[T] {
	return share.New(share.Options{Patience: lookPatience}, func(ctx context.Context) (answer T, err error) {
		err = s.with(ofAll, func(d Dataplane) (err error) {
			answer, err = ask(d, ctx)
			return err
		})
		return answer, err
	})
}

// with asks the dataplane. What goes wrong is told once, and not with every scrape.
func (s *source) with(by reader, ask func(Dataplane) error) error {
	d, err := s.open()
	if err == nil {
		defer d.Close()
		err = ask(d)
	}
	s.note(by, err)
	return err
}

// during does something with the dataplane until ctx ends, which is nothing to tell of.
func (s *source) during(ctx context.Context, by reader, do func(Dataplane) error) {
	_ = s.with(by, func(d Dataplane) error {
		if err := do(d); ctx.Err() == nil {
			return err
		}
		return nil
	})
}

func (s *source) note(by reader, err error) {
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case by != ofAll && (failure == s.failure || failure == "" && by != s.failed):
		return
	case failure == s.failure:
	case failure == "":
		fmt.Fprintln(s.log, "note: the dataplane can be read again")
	default:
		fmt.Fprintf(s.log, "warning: the dataplane cannot be read: %s\n", oneLine(failure))
	}
	s.failure, s.failed = failure, by
}
