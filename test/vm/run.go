// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xfwd/xfwd/test/vm/job"
	"github.com/xfwd/xfwd/test/vm/record"
)

// bootTime is what a machine may take beside its tests.
const bootTime = time.Minute

// vmVariable tells tests that they run in a test VM, by the name of its kernel.
const vmVariable = "XFWD_VM"

// testRun is the tests of one package in one machine.
type testRun struct {
	kernel *kernel
	suite  suite
	// name is that of its files.
	name string
	// parts are the archives of which its initramfs consists.
	parts []string
	job   job.Job
	// timeout ends it.
	timeout time.Duration
}

// prepare builds everything that the machines need, in a directory: for each
// kernel and each package a run.
func prepare(ctx context.Context, o options, dir string, kernels []kernel) ([]testRun, error) {
	base, err := buildBase(ctx, dir)
	if err != nil {
		return nil, err
	}
	guests := make([]guest, len(kernels))
	for i := range kernels {
		if guests[i], err = buildModules(dir, &kernels[i]); err != nil {
			return nil, err
		}
	}
	suites, err := compile(ctx, dir, o.packages)
	if err != nil {
		return nil, err
	}
	// A package on all kernels, then the next: the order of the packages decides
	// what is known first. The newest kernels take the longest, so they begin.
	var runs []testRun
	slices.Reverse(guests)
	for _, s := range suites {
		tests, err := buildSuite(dir, s)
		if err != nil {
			return nil, err
		}
		for _, g := range guests {
			r := testRun{kernel: g.kernel, suite: s, job: newJob(o, s, g), timeout: o.timeout}
			r.name = g.kernel.name + "-" + strings.ReplaceAll(s.name, "/", "-")
			own, err := buildJob(filepath.Join(dir, r.name+".cpio"), r.job)
			if err != nil {
				return nil, err
			}
			r.parts = []string{base, g.archive, tests, own}
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// newJob is the run of a package's tests in a guest.
func newJob(o options, s suite, g guest) job.Job {
	tests := o.run
	if o.core {
		tests = o.selection.run(s.name)
	}
	env := []string{"PATH=/bin", "HOME=/", "XFWD_BINARY=" + guestXFWD, vmVariable + "=" + g.kernel.name}
	if o.record {
		env = append(env, record.Variable+"=1")
	}
	return job.Job{
		Modules: g.modules,
		Args: []string{
			guestTests, "-test.v=test2json", "-test.paniconexit0",
			runFlag + tests, "-test.skip=" + o.skipped(), "-test.timeout=" + o.timeout.String(),
		},
		Env: env,
		Dir: s.guestDir(),
	}
}

// runAll runs as many at once as there may be, and prints a report of each when it
// ends. ok is whether all passed.
func runAll(ctx context.Context, o options, q qemu, lacks []lack, runs []testRun) (reports []report, ok bool) {
	var (
		wait  sync.WaitGroup
		print sync.Mutex
		slots = make(chan struct{}, o.parallel)
	)
	ok = true
	for _, r := range runs {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			report := r.run(ctx, o, q)
			if o.again {
				report = report.again(ctx, o, q)
			}
			enforce(lacks, &report)
			print.Lock()
			defer print.Unlock()
			report.print(os.Stdout, o.verbose)
			reports = append(reports, report)
			ok = ok && report.ok()
		})
	}
	wait.Wait()
	return reports, ok && ctx.Err() == nil
}

// run runs one machine.
func (r testRun) run(ctx context.Context, o options, q qemu) report {
	result := report{run: r, console: filepath.Join(o.logs, r.name+".console"), log: filepath.Join(o.logs, r.name+".log")}
	start := time.Now()
	result.err = func() error {
		initramfs := strings.TrimSuffix(r.parts[len(r.parts)-1], ".cpio") + ".initramfs"
		defer os.Remove(initramfs)
		if err := concatenate(initramfs, r.parts...); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, r.timeout+bootTime)
		defer cancel()
		said := newProgress(r)
		defer said.stop()
		bootErr := q.boot(ctx, machine{
			kernel: r.kernel, initramfs: initramfs, console: result.console,
			accelerator: o.accelerator, steady: o.steady, memory: o.memory, threads: o.threads,
		}, said)
		output, status, ended := job.SplitStatus(said.bytes())
		if err := result.read(ctx, output); err != nil {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the machine did not end: %w", context.Cause(ctx))
		case bootErr != nil:
			return bootErr
		case !ended:
			return fmt.Errorf("the machine ended before its tests did")
		case status != 0 && len(result.failed) == 0:
			return fmt.Errorf("the tests ended with status %d", status)
		case len(result.passed)+len(result.failed)+len(result.skipped) == 0:
			return fmt.Errorf("no test has run")
		}
		return kernelTrouble(result.console)
	}()
	result.elapsed = time.Since(start)
	return result
}
