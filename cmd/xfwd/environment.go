// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"iter"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
	"github.com/xfwd/xfwd/internal/figures"
)

// environment is everything that commands use of the world around them.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// terminal says that stdout is one that understands control sequences.
	terminal bool
	getenv   func(string) string
	now      func() time.Time
	// open selects the dataplane to act on.
	open func(ctl.Options) (dataplane, error)
	// devices names the network devices of the caller's namespace.
	devices func() []string
	// addresses are those of the caller's namespace that other machines can answer to.
	addresses func() []string
}

// dataplane is what commands use of a ctl.Instance.
type dataplane interface {
	Update(context.Context, ctl.Change, ctl.UpdateOptions) (ctl.Report, error)
	AwaitDevices(context.Context, []ctl.Forward) ([]string, error)
	Forwards(context.Context) ([]ctl.Forward, error)
	Counters(context.Context) ([]ctl.ForwardCounters, error)
	Flows(context.Context, ctl.FlowFilter) iter.Seq2[ctl.Flow, error]
	DeleteFlows(context.Context, ctl.FlowFilter, ctl.FlowDeletion) (int, error)
	XDP(context.Context) (ctl.XDPModes, error)
	Status(context.Context) (ctl.Status, error)
	Measure(context.Context) (ctl.Measurement, error)
	Loaded(context.Context) (bool, error)
	Watch(context.Context, ctl.Watcher) error
	Sweep(context.Context) (ctl.Swept, error)
	Expire(context.Context) ([]ctl.Forward, error)
	Checked(context.Context, ctl.Revision) ([]ctl.CheckedBackend, ctl.Revision, error)
	SetHealth(context.Context, []ctl.BackendHealth) ([]ctl.BackendHealth, error)
	ReplaceSocket(syscall.RawConn) error
	Unload(context.Context) error
	Close() error
}

// system is the environment of the process.
func system() environment {
	return environment{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: isTerminal(os.Stdout) && os.Getenv("TERM") != "dumb",
		getenv:   os.Getenv,
		now:      time.Now,
		open: func(o ctl.Options) (dataplane, error) {
			if isTerminal(os.Stderr) && os.Getenv("TERM") != "dumb" {
				o.Progress = (&progress{w: os.Stderr, now: time.Now, begun: time.Now()}).show
			}
			instance, err := ctl.Open(o)
			if err != nil {
				return nil, err
			}
			return instance, nil
		},
		devices:   deviceNames,
		addresses: ownAddresses,
	}
}

// isTerminal takes every character device for a terminal, which at worst
// writes control sequences to /dev/null.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func ownAddresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var words []string
	for _, a := range all {
		if prefix, is := a.(*net.IPNet); is && prefix.IP.IsGlobalUnicast() {
			words = append(words, prefix.IP.String())
		}
	}
	return words
}

func deviceNames() []string {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range interfaces {
		if figures.Printable(i.Name) == i.Name {
			names = append(names, i.Name)
		}
	}
	return names
}
