// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// A thousand who ask while a look is under way share the next one, and only that.
func TestOneLookForAll(t *testing.T) {
	began, free := make(chan struct{}, 1000), make(chan struct{})
	looks := 0
	l := New(Options{Patience: time.Minute}, func(context.Context) (int, error) {
		began <- struct{}{}
		<-free
		looks++
		return looks, nil
	})
	var all sync.WaitGroup
	all.Go(func() {
		if n, err := l.Get(t.Context()); n != 1 || err != nil {
			t.Errorf("the first has answer %d (%v)", n, err)
		}
	})
	<-began
	const askers = 1000
	for range askers {
		all.Go(func() {
			if n, err := l.Get(t.Context()); n != 2 || err != nil {
				t.Errorf("another has answer %d (%v)", n, err)
			}
		})
	}
	for waiting := 0; waiting < askers; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		if l.next != nil {
			waiting = l.next.waiting
		}
		l.mu.Unlock()
	}
	close(free)
	all.Wait()
	if looks != 2 {
		t.Errorf("%d looks", looks)
	}
}

// Who gives up does not wait, and a look that nobody waits for ends.
func TestGivenUp(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	l := New(Options{Patience: time.Minute}, func(ctx context.Context) (int, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return 0, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := l.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-ended
}

// An answer may be as old as the options say.
func TestAge(t *testing.T) {
	looks := 0
	l := New(Options{Age: time.Hour, Patience: time.Minute}, func(context.Context) (int, error) {
		looks++
		return looks, nil
	})
	for range 3 {
		if n, err := l.Get(t.Context()); n != 1 || err != nil {
			t.Errorf("answer %d (%v)", n, err)
		}
	}
}
