// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	kernels   *regexp.Regexp
	packages  []string
	run, skip string
	core      bool
	record    bool
	verbose   bool
	update    bool
	// selection is what core tells.
	selection   selection
	timeout     time.Duration
	parallel    int
	accelerator string
	steady      bool
	again       bool
	memory      int
	threads     int
	logs        string
}

// emulatedTooSlow are tests that make no sense where an emulated processor runs
// them: they measure time, run hundreds of commands, publish thousands of ports or
// move hundreds of thousands of packets.
var emulatedTooSlow = []string{
	"TestAMillionFlows",
	"TestAddIsQuick",
	"TestFaultCommandsKilled",
	"TestFaultForwardsFull",
	"TestFaultNoMemoryToChange",
	"TestFaultRangesFull",
	"TestKilledAtEveryStep",
	"TestKilledWhileBackendsChange",
	"TestMaglevShares",
	"TestMetricsAreExact",
	"TestMetricsOfTenThousandForwards",
	"TestServeIsIdle",
	"TestServeIsKilledAndNobodyNotices",
	"TestTenThousandConnections",
	"TestThousandChangesUnderLoad",
	"TestTopWithAThousandForwards",
}

// guestLacks are tests of programs that guests do not have, for they are large and
// show nothing of the kernel that others do not.
var guestLacks = []string{
	"TestMetricsAreWhatCommandsShow",
	"TestPostgresTransactionThroughDrain",
	"TestPrometheus",
	"TestSSHThroughDrain",
	"TestTop",
	"TestTopAndTerminals",
	"TestTopFitsTheTerminal",
	"TestWrkThroughChanges",
}

// programsPackage has the tests that say how many instructions verifiers look at.
const programsPackage = "./test/vm/programs"

// defaultPackages are those whose tests depend on the kernel.
var defaultPackages = []string{programsPackage, "./test/e2e", "./test/packet", "./test/vm/devices", "./internal/loader"}

const usage = `Usage: go run ./test/vm [flags] [packages]

Runs the tests of packages in virtual machines, on each kernel of test/vm/kernels. Without packages:
%s

`

// parseOptions parses the command line; its errors are flag.ErrHelp or have been
// shown.
func parseOptions(args []string, defaultLogs string) (options, error) {
	var o options
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), usage, defaultPackages)
		flags.PrintDefaults()
	}
	kernels := flags.String("kernel", "", "only the kernels of the list whose names match this `regexp`")
	flags.StringVar(&o.run, "run", "", "only the tests that match this `regexp`")
	flags.StringVar(&o.skip, "skip", "", "not the tests that match this `regexp`")
	flags.BoolVar(&o.core, "core", false, "only the tests of test/vm/core, which make test-vm runs; of these packages, if some are named")
	flags.BoolVar(&o.record, "record", false, "write down how many instructions the verifiers look at")
	flags.BoolVar(&o.verbose, "v", false, "show what all tests say, not only those that fail")
	flags.BoolVar(&o.update, "update", false, "fetch the kernels and QEMU anew")
	flags.DurationVar(&o.timeout, "timeout", time.Hour, "how long the tests of one package may take in one machine")
	flags.IntVar(&o.parallel, "j", runtime.NumCPU(), "how many machines run at once")
	flags.StringVar(&o.accelerator, "accel", "tcg", "what runs the guest's code: tcg or kvm")
	flags.BoolVar(&o.steady, "steady", false, "have the guests' clocks count instructions instead of time,\nfor a machine that is busy with other work; takes twice as long")
	flags.BoolVar(&o.again, "again", false, "run the tests that fail once more with -steady, and fail only if they fail again")
	flags.IntVar(&o.memory, "memory", 768, "the machines' memory in `MiB`")
	flags.IntVar(&o.threads, "smp", 1, "the machines' processors")
	flags.StringVar(&o.logs, "logs", defaultLogs, "the directory for what the machines say")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	var err error
	if o.kernels, err = regexp.Compile(*kernels); err != nil {
		return options{}, err
	}
	if o.logs, err = filepath.Abs(o.logs); err != nil {
		return options{}, err
	}
	o.packages = flags.Args()
	switch {
	case len(o.packages) > 0 && o.record:
		return options{}, errors.New("-record says itself which packages")
	case o.core && (o.run != "" || o.record):
		return options{}, errors.New("-core goes with neither -run nor -record")
	case o.core:
		if o.selection, err = parseSelection(coreList); err != nil {
			return options{}, err
		}
		if o.packages, err = o.selection.among(o.packages); err != nil {
			return options{}, err
		}
	case o.record:
		o.packages = []string{programsPackage}
	case len(o.packages) == 0:
		o.packages = defaultPackages
	}
	return o, nil
}

// skipped is the regexp of the tests that are left out; one that is asked for is
// not.
func (o options) skipped() string {
	if o.run != "" {
		return o.skip
	}
	left := guestLacks
	if o.accelerator != "kvm" {
		left = slices.Concat(left, emulatedTooSlow)
	}
	skip := "^(" + strings.Join(left, "|") + ")$"
	if o.skip != "" {
		skip += "|" + o.skip
	}
	return skip
}
