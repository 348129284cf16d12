// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestErrorf(t *testing.T) {
	err := fmt.Errorf("more: %w", Errorf(ErrUnsupported, "cannot mount: %w", fs.ErrPermission))
	if got, want := err.Error(), "more: cannot mount: permission denied"; got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
	for _, kind := range []error{ErrUnsupported, fs.ErrPermission} {
		if !errors.Is(err, kind) {
			t.Errorf("error is not %v", kind)
		}
	}
	if errors.Is(err, ErrSyntax) {
		t.Error("error is of a kind that it was not given")
	}
}

// checkError wants an error of a kind and with the whole text.
func checkError(t *testing.T, err, kind error, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error, want %q", text)
	case err.Error() != text:
		t.Errorf("error is\n  %s\nwant\n  %s", err, text)
	case !errors.Is(err, kind):
		t.Errorf("error %q is not %v", err, kind)
	}
}
