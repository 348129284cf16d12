// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// pool has the worlds that no test uses just now. To make one takes longer than
// most tests do, so they are handed on.
var pool struct {
	sync.Mutex
	idle []*world
}

// borrowWorld returns a world that is the test's until its end. The test may
// change forwards, flows and whether the host is a router, and nothing else.
func borrowWorld(t testing.TB) *world {
	t.Helper()
	pool.Lock()
	defer pool.Unlock()
	var w *world
	if last := len(pool.idle) - 1; last >= 0 {
		w, pool.idle = pool.idle[last], pool.idle[:last]
	} else {
		w = newWorld(&everyTest)
	}
	t.Cleanup(func() {
		pool.Lock()
		defer pool.Unlock()
		pool.idle = append(pool.idle, w)
	})
	return w
}

// process is the lab.TB of what outlives a test. What fails there ends all of
// them.
type process struct{ cleanups []func() }

var everyTest process

func (p *process) Helper()                           {}
func (p *process) Failed() bool                      { return false }
func (p *process) Cleanup(f func())                  { p.cleanups = append(p.cleanups, f) }
func (p *process) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (p *process) Errorf(format string, args ...any) { p.Fatalf(format, args...) }
func (p *process) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// end cleans up.
func (p *process) end() {
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
}
