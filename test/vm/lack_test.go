// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is listed exists: a test that got another name, or a kernel that is gone,
// leaves nothing behind.
func TestLacksExist(t *testing.T) {
	lacks, err := parseLacks(lackList)
	if err != nil {
		t.Fatal(err)
	}
	kernels, err := listKernels(kernelList, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lacks {
		for _, name := range l.kernels {
			if !slices.ContainsFunc(kernels, func(k kernel) bool { return k.name == name }) {
				t.Errorf("%s: there is no kernel %s", l.test, name)
			}
		}
		test, _, _ := strings.Cut(l.test, "/")
		if test == "*" {
			continue // of all tests, their cases of some kind
		}
		if !strings.Contains(sourceOfTests(t, filepath.Join("..", "..", l.suite)), "\nfunc "+test+"(") {
			t.Errorf("%s has no %s", l.suite, test)
		}
	}
}

func TestParseLacks(t *testing.T) {
	lacks, err := parseLacks("5.10,6.1 test/a TestOdd/sub # why\n")
	if err != nil || len(lacks) != 1 || !slices.Equal(lacks[0].kernels, []string{"5.10", "6.1"}) ||
		lacks[0].suite != "test/a" || lacks[0].test != "TestOdd/sub" {
		t.Errorf("got %+v, %v", lacks, err)
	}
	for _, bad := range []string{"5.10 TestOdd\n", "5.10 test/a [\n"} {
		if lacks, err := parseLacks(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, lacks)
		}
	}
}

// Tests may be skipped where a kernel lacks something, and nowhere else.
func TestEnforce(t *testing.T) {
	lacks := []lack{{[]string{"old", "older"}, "test/a", "Test*"}}
	for _, c := range []struct {
		name, kernel, suite string
		skips, ok           bool
	}{
		{"lacking", "older", "test/a", true, true},
		{"another kernel", "new", "test/a", true, false},
		{"another package", "old", "test/b", true, false},
		{"not lacking after all", "old", "test/a", false, false},
		{"not lacking", "new", "test/a", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := report{run: testRun{kernel: &kernel{name: c.kernel}, suite: suite{name: c.suite}}}
			if c.skips {
				r.skipped = []testResult{{"TestOdd", "no such device"}}
			} else {
				r.passed = []string{"TestOdd"}
			}
			if enforce(lacks, &r); r.ok() != c.ok {
				t.Errorf("ok is %v; failed: %v", r.ok(), r.failed)
			}
		})
	}
}
