// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"testing"
	"time"
)

// lockedDirectory is one that lockRoot locks, on whatever file system.
func lockedDirectory(t *testing.T) func() (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root")
	ensure := func() (string, error) { return path, os.MkdirAll(path, 0o700) }
	if _, err := ensure(); err != nil {
		t.Fatal(err)
	}
	return ensure
}

// Readers that follow one another without a gap do not keep a writer out.
func TestWriterComesBeforeReaders(t *testing.T) {
	ensure := lockedDirectory(t)
	// The directory of turns is there from the first writer on.
	first, _, err := lockRoot(t.Context(), true, ensure)
	if err != nil {
		t.Fatal(err)
	}
	first.Unlock()
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			time.Sleep(time.Duration(i) * 5 * time.Millisecond)
			for ctx.Err() == nil {
				l, _, err := lockRoot(ctx, false, ensure)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				time.Sleep(20 * time.Millisecond)
				l.Unlock()
			}
		})
	}
	for range 10 {
		started := time.Now()
		l, _, err := lockRoot(ctx, true, ensure)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("a writer has waited for %v", took)
		}
		l.Unlock()
	}
	stop()
	readers.Wait()
}

// Waiters that have given up hold few threads, however many they are.
func TestWaitersHoldFewThreads(t *testing.T) {
	ensure := lockedDirectory(t)
	holder, _, err := lockRoot(t.Context(), true, ensure)
	if err != nil {
		t.Fatal(err)
	}
	threads := func() int { return pprof.Lookup("threadcreate").Count() }
	before := threads()
	// One after the other, for many system calls at once take threads as well.
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, _, err := lockRoot(ctx, false, ensure); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a waiter has %v", err)
		}
		cancel()
	}
	if more := threads() - before; more > 4*mostWaiting {
		t.Errorf("%d more threads", more)
	}
	holder.Unlock()
	next, _, err := lockRoot(t.Context(), true, ensure)
	if err != nil {
		t.Fatal(err)
	}
	next.Unlock()
}
