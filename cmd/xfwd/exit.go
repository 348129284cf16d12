// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// The exit statuses, which scripts rely on.
const (
	exitDone        = 0
	exitFailed      = 1
	exitSyntax      = 2
	exitConflict    = 3
	exitNotFound    = 4
	exitUnsupported = 5
)

// run executes a command line and returns the exit status.
func run(ctx context.Context, e environment, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(e.stderr, "xfwd: interrupted; run it again")
	default:
		fmt.Fprintf(e.stderr, "xfwd: %s\n", oneLine(err.Error()))
	}
	return exitStatus(err)
}

// exitStatus maps an error to the exit status that scripts decide on.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, ctl.ErrSyntax):
		return exitSyntax
	case errors.Is(err, ctl.ErrConflict):
		return exitConflict
	case errors.Is(err, ctl.ErrNotFound):
		return exitNotFound
	case errors.Is(err, ctl.ErrUnsupported):
		return exitUnsupported
	}
	return exitFailed
}

// oneLine keeps the promise that an error is one line also for errors that
// others worded, such as those of the BPF verifier.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return figures.Printable(strings.Join(lines, "; "))
}
