// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/xfwd/xfwd/test/lab"
)

// scope is the lab.TB of a program that is no test: what is made in it is taken
// away when it ends.
type scope struct {
	cleanups []func()
	failures []error
}

var _ lab.TB = (*scope)(nil)

// fatal is what Fatalf panics with.
type fatal struct{ error }

// within runs fn in a scope that ends with it, and returns what failed.
func within(fn func(tb lab.TB)) error {
	s := &scope{}
	s.catch(func() { fn(s) })
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		cleanup := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		s.catch(cleanup)
	}
	return errors.Join(s.failures...)
}

// catch runs fn to its end or to its first Fatalf.
func (s *scope) catch(fn func()) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			s.failures = append(s.failures, r.error)
		default:
			panic(r)
		}
	}()
	fn()
}

func (s *scope) Helper()           {}
func (s *scope) Cleanup(fn func()) { s.cleanups = append(s.cleanups, fn) }
func (s *scope) Failed() bool      { return len(s.failures) > 0 }

func (s *scope) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (s *scope) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Errorf(format, args...))
}

func (s *scope) Fatalf(format string, args ...any) {
	panic(fatal{fmt.Errorf(format, args...)})
}
