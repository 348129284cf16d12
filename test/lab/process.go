// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs inside a namespace.
type Process struct {
	*exec.Cmd
	// Stdout and Stderr are what it has written so far.
	Stdout, Stderr Output

	ended chan struct{}
	err   error
}

// Output collects what a program writes; it may be read at any time.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends p.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Start runs a program inside the namespace. The end of the test ends it, with
// everything that it started; if the test failed, the log shows what it wrote.
// The namespace is entered without `ip netns exec`, which would hide /sys/fs/bpf.
func (n *Namespace) Start(program string, args ...string) *Process {
	n.lab.tb.Helper()
	return n.StartCommand(exec.Command(program, args...))
}

// StartCommand is Start for a command that needs more than arguments. Its
// standard output and error are taken over.
func (n *Namespace) StartCommand(command *exec.Cmd) *Process {
	n.lab.tb.Helper()
	p := n.start(command)
	n.lab.tb.Cleanup(func() {
		p.Kill()
		if n.lab.tb.Failed() {
			n.lab.tb.Logf("%s in %s wrote:\n%s%s", command, n.Name, &p.Stdout, &p.Stderr)
		}
	})
	return p
}

func (n *Namespace) start(command *exec.Cmd) *Process {
	n.lab.tb.Helper()
	p := &Process{Cmd: command, ended: make(chan struct{})}
	command.Stdout, command.Stderr = &p.Stdout, &p.Stderr
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	n.Do(func() {
		if err := command.Start(); err != nil {
			n.lab.tb.Fatalf("%s in %s: %v", command, n.Name, err)
		}
	})
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	return p
}

// Kill ends the process and those of its group, and waits for it.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // it may have ended long ago
	<-p.ended
}

// Wait waits until the process has ended by itself, and returns what
// exec.Cmd.Wait returns.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Running says whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Run runs a program inside the namespace to its end, at most a minute, and
// returns its standard output. The test fails unless the program succeeds.
func (n *Namespace) Run(program string, args ...string) string {
	n.lab.tb.Helper()
	stdout, err := n.Try(program, args...)
	if err != nil {
		n.lab.tb.Fatalf("%v", err)
	}
	return stdout
}

// Try is Run for a program that may fail; the error tells what it wrote.
func (n *Namespace) Try(program string, args ...string) (string, error) {
	n.lab.tb.Helper()
	p := n.start(exec.Command(program, args...))
	defer p.Kill()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.Kill()
	}
	if p.err != nil {
		return p.Stdout.String(), errors.New(strings.Join([]string{
			p.String() + " in " + n.Name + ": " + p.err.Error(), p.Stdout.String(), p.Stderr.String(),
		}, "\n"))
	}
	return p.Stdout.String(), nil
}

// Need fails the test when one of the programs is not installed.
func Need(tb TB, programs ...string) {
	tb.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			tb.Fatalf("this test needs %s; PATH is %s", program, os.Getenv("PATH"))
		}
	}
}
