// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"
)

// quiet is how long a command works before it says how far it is.
const quiet = 2 * time.Second

// progress is a line on a terminal that says how far a command is, for as long as there is
// anything to wait for.
type progress struct {
	w     io.Writer
	now   func() time.Time
	begun time.Time
	shown bool
}

// show is for ctl.Options.
func (p *progress) show(doing string, done, all int) {
	const clear = "\r\x1b[K"
	switch {
	case done == all && p.shown:
		fmt.Fprint(p.w, clear)
		p.shown = false
	case done < all && p.now().Sub(p.begun) > quiet:
		fmt.Fprintf(p.w, clear+"%s: %d of %d", doing, done, all)
		p.shown = true
	}
}
