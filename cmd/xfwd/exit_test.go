// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/internal/ctl"
)

func TestExitStatus(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{ctl.Errorf(ctl.ErrSyntax, "x"), 2},
		{ctl.Errorf(ctl.ErrConflict, "x"), 3},
		{ctl.Errorf(ctl.ErrNotFound, "x"), 4},
		{fmt.Errorf("more: %w", ctl.Errorf(ctl.ErrUnsupported, "x")), 5},
		{fileError("read", "f", syscall.ENOENT), 1},
		{fileError("write", "f", syscall.EACCES), 5},
		{fileError("read", "f", syscall.EISDIR), 1},
	} {
		if got := exitStatus(test.err); got != test.want {
			t.Errorf("%v exits %d, want %d", test.err, got, test.want)
		}
	}
}

// Errors that others worded become one line.
func TestOneLine(t *testing.T) {
	f := &fake{err: errors.New("load program: invalid argument:\n\tR1 type=ctx\r\n\tprocessed 3 insns\n")}
	got := f.test(t.Context(), nil, "list")
	if want := (result{1, "", "xfwd: load program: invalid argument:; R1 type=ctx; processed 3 insns\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInterrupted(t *testing.T) {
	f := &fake{err: fmt.Errorf("waiting for the lock: %w", context.Canceled)}
	got := f.test(t.Context(), nil, "list")
	if want := (result{1, "", "xfwd: interrupted; run it again\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
