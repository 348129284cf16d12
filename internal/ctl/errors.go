// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"fmt"
)

// What a caller decides on. Every error that leaves this package is one of
// these by errors.Is, or is an unexpected failure. Their own texts never show:
// Errorf makes an error that reads as one plain line and only belongs to one.
var (
	// ErrSyntax: the words of the user, or of a file, do not make sense.
	ErrSyntax = errors.New("bad syntax")
	// ErrConflict: a frontend or a name belongs to a different forward.
	ErrConflict = errors.New("conflict")
	// ErrNotFound: no forward has that frontend or name.
	ErrNotFound = errors.New("not found")
	// ErrUnsupported: the kernel, its configuration or the privileges of the
	// caller do not allow it.
	ErrUnsupported = errors.New("not supported here")
)

// Errorf returns an error of the given kind, one of the Err variables of this
// package. Its text is what fmt.Errorf makes of format, and nothing else: it
// should say what is wrong and, after a semicolon, what to do. An error given
// to the verb %w is wrapped too.
func Errorf(kind error, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// kindError belongs to a kind without mentioning it.
type kindError struct {
	kind, err error
}

func (e *kindError) Error() string { return e.err.Error() }

func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }
