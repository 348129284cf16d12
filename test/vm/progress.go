// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// silence is how long a machine may work without a word.
const silence = 30 * time.Second

// progress keeps what a machine says, and now and then prints how far it is.
type progress struct {
	mu   sync.Mutex
	said bytes.Buffer

	ended chan struct{}
}

func newProgress(r testRun) *progress {
	p := &progress{ended: make(chan struct{})}
	start := time.Now()
	go func() {
		for tick := time.NewTicker(silence); ; {
			select {
			case <-tick.C:
				fmt.Printf("...   %-8s %-20s %4d tests ended so far     %6.1f s\n",
					r.kernel.name, r.suite.name, p.tests(), time.Since(start).Seconds())
			case <-p.ended:
				tick.Stop()
				return
			}
		}
	}()
	return p
}

func (p *progress) stop() { close(p.ended) }

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *progress) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.said.Bytes())
}

// tests counts those that have ended, with those around them.
func (p *progress) tests() (count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, result := range []string{"--- PASS", "--- FAIL", "--- SKIP"} {
		count += bytes.Count(p.said.Bytes(), []byte(result))
	}
	return count
}
