// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// again runs the tests that have failed once more, by themselves, on a clock that only
// the machine's own work moves on; only those that fail again have failed. What else
// is wrong with a run, such as an oops, stays so.
func (r report) again(ctx context.Context, o options, q qemu) report {
	if r.err != nil || len(r.failed) == 0 {
		return r
	}
	run := r.run
	run.name += "-again"
	run.job.Args = withRun(run.job.Args, pattern(namesOf(r.failed)))
	own := len(run.parts) - 1
	run.parts = slices.Clone(run.parts)
	var err error
	if run.parts[own], err = buildJob(filepath.Join(filepath.Dir(run.parts[own]), run.name+".cpio"), run.job); err != nil {
		r.err = err
		return r
	}
	o.steady = true
	second := run.run(ctx, o, q)
	if second.err != nil {
		return r
	}
	failed := namesOf(second.failed)
	var stay, recovered []testResult
	for _, f := range r.failed {
		switch {
		case slices.Contains(failed, f.name):
			stay = append(stay, f)
		case slices.Contains(second.passed, f.name), hasTestsWithin(f.name, second.passed) && !hasTestsWithin(f.name, failed):
			recovered = append(recovered, f)
			r.passed = append(r.passed, f.name)
		default: // it was not reached
			stay = append(stay, f)
		}
	}
	r.failed, r.recovered = stay, recovered
	r.elapsed += second.elapsed
	return r
}

// withRun replaces the tests that a binary is to run.
func withRun(args []string, tests string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if strings.HasPrefix(arg, runFlag) {
			args[i] = runFlag + tests
		}
	}
	return args
}

const runFlag = "-test.run="

func namesOf(results []testResult) []string {
	var names []string
	for _, r := range results {
		names = append(names, r.name)
	}
	return names
}

// hasTestsWithin says whether some of these tests are within another.
func hasTestsWithin(name string, tests []string) bool {
	return slices.ContainsFunc(tests, func(t string) bool { return strings.HasPrefix(t, name+"/") })
}
