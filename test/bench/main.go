// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case roleServer:
			var at []netip.AddrPort
			for _, address := range args[1:] {
				at = append(at, netip.MustParseAddrPort(address))
			}
			return load.Serve(at, os.Stdout)
		case roleClient:
			return load.Client(os.Stdin, os.Stdout)
		}
	}
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := interruptsCounted(); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "bench: building xfwd")
	os.Exit(lab.Main(o))
	return nil
}

// Run measures and prints, and returns the exit status.
func (o options) Run() int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r, err := o.measure(ctx)
	if err == nil {
		err = r.print(os.Stdout, o.output)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// part is something to measure that is not traffic.
type part struct {
	// word is that of -only.
	word  string
	steps int
	run   func() error
}

// measure does all that the flags ask for.
func (o options) measure(ctx context.Context) (report, error) {
	r := newReport(o)
	var say *progress
	parts := []part{
		{onlyPrograms, o.rounds, func() (err error) { r.Programs, err = o.programCosts(ctx, say); return err }},
		{onlyFlows, 2 * flowSlices, func() (err error) { r.Flows, err = o.flowCosts(ctx, say); return err }},
		{onlyAdd, addRuns, func() (err error) { r.Latencies, err = addLatencies(ctx, say); return err }},
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return !slices.Contains(o.only, p.word) })
	plans := o.plans()
	steps := 0
	for _, p := range plans {
		steps += p.rounds * len(p.workloads)
	}
	for _, p := range parts {
		steps += p.steps
	}
	say = newProgress(steps)
	defer say.end()
	for _, p := range plans {
		columns, err := p.run(ctx, say)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.topology.name, err)
		}
		r.Topologies = append(r.Topologies, newTopologyReport(p, columns))
	}
	for _, p := range parts {
		if err := p.run(); err != nil {
			return r, fmt.Errorf("%s: %w", p.word, err)
		}
	}
	return r, nil
}
