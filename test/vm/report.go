// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/xfwd/xfwd/test/vm/record"
)

// report is what came of a run.
type report struct {
	run     testRun
	elapsed time.Duration
	// err is why the run as a whole failed.
	err error
	// log and console are files with what the tests and the kernel said.
	log, console string
	// passed are tests, failed and skipped are those that did so, with what they
	// said. Only the innermost tests count.
	passed          []string
	failed, skipped []testResult
	// recovered are those that failed at first, and passed with a steady clock.
	recovered []testResult
	// counts are the instructions that the verifier looked at, by program.
	counts map[string]int
	// outside is what was said outside of tests.
	outside string
}

type testResult struct{ name, output string }

func (r report) ok() bool { return r.err == nil && len(r.failed) == 0 }

// testEvent is what `go tool test2json` writes.
type testEvent struct{ Action, Test, Output string }

// read writes the tests' output to the log and learns from it how each ended.
func (r *report) read(ctx context.Context, output []byte) error {
	// The context may be what ended the machine; this must happen in any case.
	convert := exec.CommandContext(context.WithoutCancel(ctx), "go", "tool", "test2json")
	convert.Stdin = bytes.NewReader(output)
	events, err := convert.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", convert, err)
	}
	log, err := os.Create(r.log)
	if err != nil {
		return err
	}
	defer log.Close()
	r.counts = map[string]int{}
	said := map[string]*strings.Builder{}
	// Tests with tests within, of which only those count.
	parents := map[string]bool{}
	for decoder := json.NewDecoder(bytes.NewReader(events)); ; {
		var event testEvent
		if err := decoder.Decode(&event); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		name := event.Test
		if said[name] == nil {
			said[name] = &strings.Builder{}
			if slash := strings.LastIndexByte(name, '/'); slash > 0 {
				parents[name[:slash]] = true
			}
		}
		switch {
		case event.Action == "output":
			if _, err := log.WriteString(event.Output); err != nil {
				return err
			}
			if count, ok := record.ParseLine(event.Output); ok {
				r.counts[path.Base(name)] = count
			}
			if !marks.MatchString(event.Output) {
				said[name].WriteString(event.Output)
			}
		case name == "":
		case event.Action == "pass" && !parents[name]:
			r.passed = append(r.passed, name)
		case event.Action == "skip":
			r.skipped = append(r.skipped, testResult{name, said[name].String()})
		// One in which another failed has usually nothing to say of its own.
		case event.Action == "fail" && (!parents[name] || said[name].Len() > 0):
			r.failed = append(r.failed, testResult{name, said[name].String()})
		}
	}
	if said[""] != nil {
		r.outside = said[""].String()
	}
	return nil
}

// marks are lines that only tell that a test begins or ends.
var marks = regexp.MustCompile(`^(=== |\s*--- |(PASS|FAIL)\n$)`)

// print writes a line for the run, and what is wrong.
func (r report) print(w io.Writer, verbose bool) {
	word := "ok  "
	if !r.ok() {
		word = "FAIL"
	}
	fmt.Fprintf(w, "%s  %-8s %-20s %4d passed %3d failed %3d skipped  %6.1f s  Linux %s\n",
		word, r.run.kernel.name, r.run.suite.name, len(r.passed), len(r.failed), len(r.skipped), r.elapsed.Seconds(), r.run.kernel.release)
	for _, s := range byReason(r.skipped) {
		fmt.Fprintf(w, "  %d skipped, in %s: %s\n", s.count, strings.Join(s.tests, ", "), s.reason)
	}
	for _, recovered := range r.recovered {
		fmt.Fprintf(w, "  failed at first, and passed with a steady clock: %s\n%s", recovered.name, indent(recovered.output))
	}
	if verbose {
		text, _ := os.ReadFile(r.log)
		w.Write(text)
	}
	r.printFailures(w)
}

// printFailures writes what is wrong with the run.
func (r report) printFailures(w io.Writer) {
	for _, failed := range r.failed {
		fmt.Fprintf(w, "  failed: %s\n%s", failed.name, indent(failed.output))
	}
	if r.err != nil {
		fmt.Fprintf(w, "  failed: %v\n%s", r.err, indent(r.outside))
		text, _ := os.ReadFile(r.console)
		fmt.Fprintf(w, "  the end of what the kernel said, which is in %s:\n%s", r.console, indent(tail(string(text), consoleLines)))
	}
}

// printAllFailures writes what is wrong with any run, in the form of gotestsum's summary: so that who reads the end
// of a long output finds it.
func printAllFailures(w io.Writer, reports []report) {
	fmt.Fprintln(w, "\n=== Failed")
	failed := 0
	for _, r := range reports {
		if !r.ok() {
			fmt.Fprintf(w, "=== FAIL: %s on Linux %s\n", r.run.suite.name, r.run.kernel.release)
			r.printFailures(w)
			failed++
		}
	}
	fmt.Fprintf(w, "\nDONE %d runs, %d failed\n", len(reports), failed)
}

// skips are tests that were skipped for the same reason.
type skips struct {
	reason string
	count  int
	// tests are the outermost ones.
	tests []string
}

// byReason are the reasons for which tests were skipped, in the order in which they came up.
func byReason(skipped []testResult) []skips {
	var all []skips
	for _, s := range skipped {
		reason := strings.Join(strings.Fields(s.output), " ")
		i := slices.IndexFunc(all, func(s skips) bool { return s.reason == reason })
		if i < 0 {
			i, all = len(all), append(all, skips{reason: reason})
		}
		all[i].count++
		if test, _, _ := strings.Cut(s.name, "/"); !slices.Contains(all[i].tests, test) {
			all[i].tests = append(all[i].tests, test)
		}
	}
	return all
}

// consoleLines are as many as a kernel's oops has.
const consoleLines = 40

func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines-1):], "")
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// trouble is what a kernel says when something is wrong, even if every test has
// passed.
var trouble = regexp.MustCompile(`(?m)^.*(BUG:|WARNING:|Oops|Out of memory).*$`)

// kernelTrouble fails if a console tells of trouble.
func kernelTrouble(console string) error {
	text, err := os.ReadFile(console)
	if err != nil {
		return err
	}
	if line := trouble.Find(text); line != nil {
		return fmt.Errorf("the kernel said: %s", bytes.TrimSpace(line))
	}
	return nil
}
