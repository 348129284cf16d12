// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// XFWD runs the xfwd binary for one namespace, as a user outside of it would.
type XFWD struct {
	// Root is the pin directory, unique to this instance.
	Root string
	// MaxFlows sizes the flow table when the dataplane is loaded.
	MaxFlows string

	at *Namespace
}

// XFWD prepares an instance for the namespace. The end of the test unloads it
// and fails the test if pins stay behind.
func (n *Namespace) XFWD() *XFWD {
	n.lab.tb.Helper()
	x := &XFWD{Root: filepath.Join(pinDir, n.lab.id+"-"+randomName()), MaxFlows: "4096", at: n}
	n.lab.tb.Cleanup(func() {
		n.lab.tb.Helper()
		result := x.Run("unload")
		if result.Status != 0 {
			n.lab.tb.Errorf("xfwd unload: exit status %d: %s", result.Status, result.Stderr)
		}
		if _, err := os.Stat(x.Root); !errors.Is(err, fs.ErrNotExist) {
			n.lab.tb.Errorf("after unload the pin directory %s is still there (%v)", x.Root, err)
			os.RemoveAll(x.Root)
		}
	})
	return x
}

// For is the instance of another namespace that keeps its pins in the same
// directory. Nothing unloads it but the test.
func (x *XFWD) For(n *Namespace) *XFWD {
	return &XFWD{Root: x.Root, MaxFlows: x.MaxFlows, at: n}
}

// Result is what came of running xfwd.
type Result struct {
	Stdout, Stderr string
	// Status is the exit status, or -1 when a signal ended it.
	Status int
	// Elapsed is the time from fork to end, CPU what the process used itself.
	Elapsed, CPU time.Duration
}

// Command is a command line of xfwd for this instance, to be run outside of the
// namespace.
func (x *XFWD) Command(args ...string) *exec.Cmd {
	return x.CommandIn(x.at.Name, args...)
}

// CommandIn is Command for a namespace that is named otherwise.
func (x *XFWD) CommandIn(netNS string, args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"--root", x.Root, "--netns", netNS}, args...)...)
}

// Binary is the path of the xfwd that is tested.
func (x *XFWD) Binary() string { return program }

// Run runs xfwd to its end.
func (x *XFWD) Run(args ...string) Result {
	x.at.lab.tb.Helper()
	return x.RunCommand(x.Command(args...))
}

// RunCommand runs a prepared command line to its end. Its standard output and
// error are taken over. It dies with this process, and after a minute.
func (x *XFWD) RunCommand(command *exec.Cmd) Result {
	x.at.lab.tb.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	start := time.Now()
	if err := command.Start(); err != nil {
		x.at.lab.tb.Fatalf("%s: %v", command, err)
	}
	deadline := time.AfterFunc(time.Minute, func() { command.Process.Signal(syscall.SIGABRT) })
	err := command.Wait()
	elapsed := time.Since(start)
	deadline.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		x.at.lab.tb.Fatalf("%s: %v", command, err)
	}
	return Result{
		Stdout:  stdout.String(),
		Stderr:  stderr.String(),
		Status:  command.ProcessState.ExitCode(),
		Elapsed: elapsed,
		CPU:     command.ProcessState.UserTime() + command.ProcessState.SystemTime(),
	}
}

// Do runs xfwd and fails the test unless it succeeds.
func (x *XFWD) Do(args ...string) Result {
	x.at.lab.tb.Helper()
	result := x.Run(args...)
	if result.Status != 0 {
		x.at.lab.tb.Fatalf("xfwd %s: exit status %d: %s", strings.Join(args, " "), result.Status, result.Stderr)
	}
	return result
}

// Add publishes a port; the words are those after `xfwd add`.
func (x *XFWD) Add(args ...string) Result {
	x.at.lab.tb.Helper()
	return x.Do(append([]string{"add", "--max-flows", x.MaxFlows}, args...)...)
}

// List returns every forward.
func (x *XFWD) List() []Forward {
	x.at.lab.tb.Helper()
	var forwards []Forward
	x.decode(&forwards, "list", "-o", "json")
	return forwards
}

// Counters returns the counters of the only forward with that frontend or name.
func (x *XFWD) Counters(frontend string) Counters {
	x.at.lab.tb.Helper()
	var forwards []Forward
	x.decode(&forwards, "stats", frontend, "-o", "json")
	if len(forwards) != 1 {
		x.at.lab.tb.Fatalf("xfwd stats %s shows %d forwards", frontend, len(forwards))
	}
	return forwards[0].Counters
}

// Flows returns the live flows.
func (x *XFWD) Flows() []Flow {
	x.at.lab.tb.Helper()
	var flows []Flow
	x.decode(&flows, "flows", "-o", "json")
	return flows
}

// Status returns what xfwd says about itself.
func (x *XFWD) Status() Status {
	x.at.lab.tb.Helper()
	var status Status
	x.decode(&status, "status", "-o", "json")
	return status
}

func (x *XFWD) decode(into any, args ...string) {
	x.at.lab.tb.Helper()
	result := x.Do(args...)
	if err := json.Unmarshal([]byte(result.Stdout), into); err != nil {
		x.at.lab.tb.Fatalf("xfwd %s: %v in %s", strings.Join(args, " "), err, result.Stdout)
	}
}
