// SPDX-License-Identifier: Apache-2.0

// Package share lets many who ask the same question at about the same time cause one
// look for the answer, so that a thousand of them cost no more than one.
package share

import (
	"context"
	"sync"
	"time"
)

const (
	// shortestPause and longestPause bound the time between two looks, which is as long as
	// the first look took: looks take half of the time at most, however many ask.
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// Options say how an answer is looked for.
type Options struct {
	// Age is how old an answer may be. If zero, each answer is of a look that has begun
	// after the question.
	Age time.Duration
	// Patience is how long a look may take.
	Patience time.Duration
}

// Look answers a question by one look at a time.
type Look[T any] struct {
	options Options
	look    func(context.Context) (T, error)

	mu sync.Mutex
	// next is the round that has not begun; working is set while rounds are under way.
	next    *round[T]
	working bool
	// last is the latest round that has ended, if answers may have an age.
	last *round[T]
}

// round is a look, and all who wait for it.
type round[T any] struct {
	ctx     context.Context
	cancel  context.CancelFunc
	waiting int
	ended   chan struct{}
	began   time.Time
	answer  T
	err     error
}

// New makes a Look.
func New[T any](o Options, look func(context.Context) (T, error)) *Look[T] {
	return &Look[T]{options: o, look: look}
}

// Get waits for the answer until ctx ends. A look ends when nobody waits for it.
func (l *Look[T]) Get(ctx context.Context) (T, error) {
	l.mu.Lock()
	if r := l.last; r != nil && time.Since(r.began) < l.options.Age {
		l.mu.Unlock()
		return r.answer, r.err
	}
	if l.next == nil {
		r := &round[T]{ended: make(chan struct{})}
		r.ctx, r.cancel = context.WithCancel(context.Background())
		l.next = r
	}
	r := l.next
	r.waiting++
	if !l.working {
		l.working = true
		go l.work()
	}
	l.mu.Unlock()
	select {
	case <-r.ended:
		return r.answer, r.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.cancel()
		if l.next == r {
			l.next = nil
		}
	}
	var none T
	return none, context.Cause(ctx)
}

// work looks until nobody asks any more.
func (l *Look[T]) work() {
	for {
		l.mu.Lock()
		r := l.next
		l.next = nil
		l.working = r != nil
		l.mu.Unlock()
		if r == nil {
			return
		}
		time.Sleep(l.round(r))
	}
}

// round looks, and returns how long to pause.
func (l *Look[T]) round(r *round[T]) time.Duration {
	defer r.cancel()
	ctx, cancel := context.WithTimeout(r.ctx, l.options.Patience)
	defer cancel()
	r.began = time.Now()
	r.answer, r.err = l.look(ctx)
	if l.options.Age > 0 && r.ctx.Err() == nil {
		l.mu.Lock()
		l.last = r
		l.mu.Unlock()
	}
	close(r.ended)
	return min(max(time.Since(r.began), shortestPause), longestPause)
}
