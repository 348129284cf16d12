// SPDX-License-Identifier: Apache-2.0

// Command vm runs tests in virtual machines, on each kernel of a list. Kernels
// and QEMU come from the Debian archive and are kept in the user's cache
// directory; nothing is installed. docs/testing-vm.md says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// run returns the exit status: 1 for tests that fail, 2 for words that are
// wrong.
func run(ctx context.Context, args []string) int {
	c, err := openCache()
	if err != nil {
		return complain(err)
	}
	o, err := parseOptions(args, filepath.Join(c.dir, "logs"))
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		complain(err)
		return 2
	}
	c.update = o.update
	ok, err := test(ctx, c, o)
	if err != nil {
		return complain(err)
	}
	if !ok {
		return 1
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "vm:", err)
	return 1
}

// test fetches what is missing, builds the guests and runs them. ok is false if
// a test failed.
func test(ctx context.Context, c cache, o options) (ok bool, err error) {
	kernels, err := listKernels(kernelList, o.kernels)
	if err != nil {
		return false, err
	}
	q, err := fetchQEMU(ctx, c)
	if err != nil {
		return false, err
	}
	for i := range kernels {
		if err := kernels[i].fetch(ctx, c); err != nil {
			return false, err
		}
	}
	dir, err := os.MkdirTemp("", "xfwd-vm-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(o.logs, 0o755); err != nil {
		return false, err
	}
	fmt.Println("building the tests and the machines' files")
	runs, err := prepare(ctx, o, dir, kernels)
	if err != nil {
		return false, err
	}
	lacks, err := parseLacks(lackList)
	if err != nil {
		return false, err
	}
	reports, ok := runAll(ctx, o, q, lacks, runs)
	if !ok {
		printAllFailures(os.Stdout, reports)
	}
	if ok && o.record {
		err = writeRecord(reports)
	}
	return ok, err
}
