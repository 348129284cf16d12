// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progress tells on standard error how far the benchmark is: in one line that
// changes where that is a terminal, now and then otherwise.
type progress struct {
	terminal    bool
	start, said time.Time
	steps, done int
}

// newProgress expects that many steps.
func newProgress(steps int) *progress {
	_, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	return &progress{terminal: err == nil, start: time.Now(), steps: steps}
}

// step begins the next step.
func (p *progress) step(format string, args ...any) {
	now := time.Now()
	left := ""
	if p.done > 0 {
		d := now.Sub(p.start) / time.Duration(p.done) * time.Duration(p.steps-p.done)
		left = fmt.Sprintf(", %v left", d.Round(time.Second))
	}
	p.done++
	text := fmt.Sprintf(format, args...) + left
	switch {
	case p.terminal:
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
	case now.Sub(p.said) > 10*time.Second:
		fmt.Fprintln(os.Stderr, text)
		p.said = now
	}
}

// end removes the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
