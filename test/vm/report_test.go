// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is what a test binary says with -test.v=test2json. The circumflex is the
// byte that marks its own lines, and the hash is nothing, behind a blank.
const said = `^=== RUN   TestGood
    good_test.go:1: fine
^--- PASS: TestGood (0.00s)
^=== NAME  #
^=== RUN   TestParent
^=== RUN   TestParent/good
    good_test.go:3: 21 instructions verified
^--- PASS: TestParent/good (0.00s)
^=== NAME  TestParent
^=== RUN   TestParent/bad
    bad_test.go:2: wrong
^--- FAIL: TestParent/bad (0.00s)
^=== NAME  TestParent
^--- FAIL: TestParent (0.01s)
^=== NAME  #
^=== RUN   TestLacking
    lacking_test.go:3: no such device
^--- SKIP: TestLacking (0.00s)
^=== NAME  #
said outside
^FAIL
`

func TestReportTellsWhatFailed(t *testing.T) {
	r := report{log: filepath.Join(t.TempDir(), "log")}
	if err := r.read(t.Context(), []byte(strings.NewReplacer("^", "\x16", "#", "").Replace(said))); err != nil {
		t.Fatal(err)
	}
	if r.ok() {
		t.Error("it is ok, though a test failed")
	}
	if diff := cmp.Diff([]string{"TestGood", "TestParent/good"}, r.passed); diff != "" {
		t.Errorf("passed: %s", diff)
	}
	if diff := cmp.Diff(map[string]int{"good": 21}, r.counts); diff != "" {
		t.Errorf("counts of instructions: %s", diff)
	}
	compare := cmp.AllowUnexported(testResult{})
	if diff := cmp.Diff([]testResult{{"TestParent/bad", "    bad_test.go:2: wrong\n"}}, r.failed, compare); diff != "" {
		t.Errorf("failed: %s", diff)
	}
	if diff := cmp.Diff([]testResult{{"TestLacking", "    lacking_test.go:3: no such device\n"}}, r.skipped, compare); diff != "" {
		t.Errorf("skipped: %s", diff)
	}
	if r.outside != "said outside\n" {
		t.Errorf("said outside of tests: %q", r.outside)
	}
	log, err := os.ReadFile(r.log)
	if err != nil || !strings.Contains(string(log), "fine") {
		t.Errorf("the log is %q, %v", log, err)
	}
}

func TestReportEndsWithWhatFailed(t *testing.T) {
	skipped := []testResult{{"TestA/one", "  why\n"}, {"TestB", "other\n"}, {"TestA/two", "why\n"}, {"TestC", "why\n"}}
	run := testRun{kernel: &kernel{name: "new", release: "7.1"}, suite: suite{name: "test/some"}}
	bad := report{run: run, failed: []testResult{{"TestBad", "wrong\n"}}, skipped: skipped}
	var b strings.Builder
	bad.print(&b, false)
	if want := "  3 skipped, in TestA, TestC: why\n  1 skipped, in TestB: other\n  failed: TestBad\n    wrong\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("a run prints\n%s, and should end with\n%s", &b, want)
	}
	b.Reset()
	printAllFailures(&b, []report{bad, {run: run}})
	const want = "\n=== Failed\n=== FAIL: test/some on Linux 7.1\n  failed: TestBad\n    wrong\n\nDONE 2 runs, 1 failed\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestKernelTrouble(t *testing.T) {
	for said, trouble := range map[string]bool{
		"[    1.0] reboot: Power down\n":                                         false,
		"[    1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1 dev_close\n":       true,
		"[    1.0] BUG: kernel NULL pointer dereference\n[    1.1] other line\n": true,
	} {
		console := filepath.Join(t.TempDir(), "console")
		if err := os.WriteFile(console, []byte(said), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := kernelTrouble(console); (err != nil) != trouble {
			t.Errorf("%q: %v", said, err)
		}
	}
}
