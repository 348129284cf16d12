// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"
)

// Nothing is said of what takes less than two seconds, and nothing stays on the screen.
func TestProgress(t *testing.T) {
	var screen strings.Builder
	begun := time.Now()
	now := begun
	p := &progress{w: &screen, now: func() time.Time { return now }, begun: begun}
	p.show("attaching", 0, 3)
	p.show("attaching", 3, 3)
	if screen.Len() > 0 {
		t.Errorf("at once it says %q", screen.String())
	}
	now = begun.Add(quiet + time.Second)
	p.show("attaching", 1, 3)
	p.show("attaching", 2, 3)
	p.show("attaching", 3, 3)
	p.show("attaching", 3, 3)
	if got, want := screen.String(), "\r\x1b[Kattaching: 1 of 3\r\x1b[Kattaching: 2 of 3\r\x1b[K"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}
