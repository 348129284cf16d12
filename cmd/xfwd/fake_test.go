// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// fake is a dataplane without a kernel, for what commands print and how they
// exit. It plans changes as the real one does and forwards nothing.
type fake struct {
	forwards []ctl.ForwardCounters
	flows    []ctl.Flow
	status   ctl.Status
	warnings []string
	notes    []string
	xdp      ctl.XDPModes
	// err is what every method returns, unless it is nil.
	err error
	// existing is what the last Update was told.
	existing ctl.Existing
	// updates counts calls of Update that changed something for good.
	updates int
	// counted is called before counters are read.
	counted func()
}

func (f *fake) Update(_ context.Context, change ctl.Change, o ctl.UpdateOptions) (ctl.Report, error) {
	if f.err != nil {
		return ctl.Report{}, f.err
	}
	have, _ := f.Forwards(context.Background())
	want, err := change(have)
	if err != nil {
		return ctl.Report{}, err
	}
	report := ctl.Report{Warnings: f.warnings, Notes: f.notes}
	report.Added, report.Removed, report.Changed, report.Kept = ctl.Difference(have, want)
	if !o.DryRun {
		f.existing = o.Existing
		f.xdp = f.xdp.And(o.XDP)
		f.updates++
		f.forwards = nil
		for _, w := range want {
			f.forwards = append(f.forwards, ctl.ForwardCounters{Forward: w})
		}
	}
	return report, nil
}

// AwaitDevices finds only lo and eth0, and does not wait for others.
func (f *fake) AwaitDevices(_ context.Context, forwards []ctl.Forward) (missing []string, err error) {
	for _, forward := range forwards {
		for _, device := range forward.Frontend.Devices {
			if device != "lo" && device != "eth0" && !strings.HasSuffix(device, "+") && !slices.Contains(missing, device) {
				missing = append(missing, device)
			}
		}
	}
	return missing, f.err
}

func (f *fake) Forwards(context.Context) ([]ctl.Forward, error) {
	var forwards []ctl.Forward
	for _, c := range f.forwards {
		forwards = append(forwards, c.Forward)
	}
	return forwards, f.err
}

func (f *fake) Counters(context.Context) ([]ctl.ForwardCounters, error) {
	if f.counted != nil {
		f.counted()
	}
	counted := slices.Clone(f.forwards)
	for i := range counted {
		if counted[i].Uses == nil {
			counted[i].Uses = make([]ctl.BackendUse, len(counted[i].Backends))
		}
	}
	return counted, f.err
}

func (f *fake) Flows(_ context.Context, filter ctl.FlowFilter) iter.Seq2[ctl.Flow, error] {
	return func(yield func(ctl.Flow, error) bool) {
		means, err := f.means(filter)
		if err != nil {
			yield(ctl.Flow{}, err)
			return
		}
		for _, flow := range f.flows {
			if means(flow) && !yield(flow, nil) {
				return
			}
		}
		if f.err != nil {
			yield(ctl.Flow{}, f.err)
		}
	}
}

func (f *fake) DeleteFlows(_ context.Context, filter ctl.FlowFilter, o ctl.FlowDeletion) (int, error) {
	means, err := f.means(filter)
	if err != nil || f.err != nil {
		return 0, errors.Join(err, f.err)
	}
	before := len(f.flows)
	left := slices.DeleteFunc(slices.Clone(f.flows), means)
	if !o.DryRun {
		f.flows, f.existing = left, o.Existing
	}
	return before - len(left), nil
}

// means returns what a filter means.
func (f *fake) means(filter ctl.FlowFilter) (func(ctl.Flow) bool, error) {
	forwards, _ := f.Forwards(context.Background())
	selected, err := ctl.Select(forwards, filter.Forwards)
	return func(flow ctl.Flow) bool {
		ofForward := func(s ctl.Forward) bool { return s.Frontend.Equal(flow.Frontend) }
		return (len(filter.Forwards) == 0 || slices.ContainsFunc(selected, ofForward)) && filter.Match(flow)
	}, err
}

func (f *fake) XDP(context.Context) (ctl.XDPModes, error) { return f.xdp, f.err }

func (f *fake) Status(context.Context) (ctl.Status, error) { return f.status, f.err }
func (f *fake) Unload(context.Context) error               { return f.err }
func (f *fake) Sweep(context.Context) (ctl.Swept, error)   { return ctl.Swept{}, f.err }
func (f *fake) ReplaceSocket(syscall.RawConn) error        { return f.err }

func (f *fake) Checked(context.Context, ctl.Revision) ([]ctl.CheckedBackend, ctl.Revision, error) {
	return nil, ctl.Revision{}, f.err
}

func (f *fake) SetHealth(context.Context, []ctl.BackendHealth) ([]ctl.BackendHealth, error) {
	return nil, f.err
}

func (f *fake) Expire(context.Context) ([]ctl.Forward, error) { return nil, f.err }

func (f *fake) Watch(ctx context.Context, _ ctl.Watcher) error {
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Loaded(context.Context) (bool, error) { return true, f.err }
func (f *fake) Close() error                         { return nil }

func (f *fake) Measure(ctx context.Context) (ctl.Measurement, error) {
	counted, err := f.Counters(ctx)
	return ctl.Measurement{Loaded: true, Forwards: counted}, err
}

// now is what the clock of tests shows.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newFake has the forwards of a file.
func newFake(t testing.TB, file string) *fake {
	t.Helper()
	f := &fake{}
	if err := f.load([]byte(file)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fake) load(file []byte) error {
	have, err := ctl.ParseFile("have.yaml", file, now)
	ctl.Sort(have.Forwards)
	for _, forward := range have.Forwards {
		f.forwards = append(f.forwards, ctl.ForwardCounters{Forward: forward})
	}
	f.xdp = have.XDP
	return err
}

// result is what came of a command line.
type result struct {
	status         int
	stdout, stderr string
}

// test runs a command line in process.
func (f *fake) test(ctx context.Context, adjust func(*environment), args ...string) result {
	var stdout, stderr bytes.Buffer
	e := environment{
		stdin:   strings.NewReader(""),
		stdout:  &stdout,
		stderr:  &stderr,
		getenv:  func(string) string { return "" },
		now:     func() time.Time { return now },
		open:    func(ctl.Options) (dataplane, error) { return f, nil },
		devices: func() []string { return []string{"lo", "eth0"} },

		addresses: func() []string { return []string{"192.0.2.1", "2001:db8::1"} },
	}
	if adjust != nil {
		adjust(&e)
	}
	status := run(ctx, e, args)
	return result{status, stdout.String(), stderr.String()}
}

// scripted is the program that scripts run: the forwards that exist are those
// of the file have.yaml in the working directory, and $FAIL makes the dataplane
// fail.
func scripted() {
	e := system()
	e.now = func() time.Time { return now }
	e.devices = func() []string { return []string{"lo", "eth0"} }
	e.addresses = func() []string { return []string{"192.0.2.1", "2001:db8::1"} }
	e.open = func(ctl.Options) (dataplane, error) {
		f := &fake{}
		if reason := os.Getenv("FAIL"); reason != "" {
			f.err = ctl.Errorf(ctl.ErrUnsupported, "%s", reason)
		}
		if reason := os.Getenv("WARN"); reason != "" {
			f.warnings = []string{reason}
		}
		if reason := os.Getenv("NOTE"); reason != "" {
			f.notes = []string{reason}
		}
		file, err := os.ReadFile("have.yaml")
		if errors.Is(err, fs.ErrNotExist) {
			return f, nil
		}
		return f, errors.Join(err, f.load(file))
	}
	os.Exit(run(context.Background(), e, os.Args[1:]))
}
