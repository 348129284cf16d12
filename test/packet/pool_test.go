// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// worlds are those that no test uses just now. To make one takes longer than
// most tests do, so they are handed on.
var worlds = make(chan *world, 64)

// making is held by who makes one.
var making sync.Mutex

// borrowWorld returns a world that is the test's until its end. The test may
// change forwards and flows, and nothing else.
func borrowWorld(t testing.TB) *world {
	t.Helper()
	var w *world
	select {
	case w = <-worlds:
	default:
		making.Lock()
		w = newWorld(&everyTest)
		making.Unlock()
	}
	t.Cleanup(func() { worlds <- w })
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
