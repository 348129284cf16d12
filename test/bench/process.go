// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// process is a long-lived child in a namespace, held to some processors.
type process struct {
	tb      lab.TB
	command *exec.Cmd
	stderr  bytes.Buffer
	stopped sync.Once
}

// spawn starts a command. The child ends with the scope of tb at the latest,
// and dies with this program whatever ends that.
func spawn(tb lab.TB, ns *lab.Namespace, cpus unix.CPUSet, command *exec.Cmd) *process {
	tb.Helper()
	p := &process{tb: tb, command: command}
	command.Stderr = &p.stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var err error
	ns.Do(func() { err = held(cpus, command.Start) })
	if err != nil {
		tb.Fatalf("%s: %v", command, err)
	}
	tb.Cleanup(p.stop)
	p.outrank()
	return p
}

// outrank puts the process's session before others. Where the kernel groups
// processes by session (CONFIG_SCHED_AUTOGROUP), their own priorities count
// within it only.
func (p *process) outrank() {
	file := fmt.Sprintf("/proc/%d/autogroup", p.pid())
	if err := os.WriteFile(file, []byte(strconv.Itoa(highest)), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.tb.Fatalf("%v", err)
	}
}

// highest is the nice value that goes before all others.
const highest = -20

// held runs fn while the calling thread, and so what it starts, is held to
// cpus, before all others there, and scheduled in batches: a process that
// becomes ready does not interrupt the one that made it ready, so all take turns
// after as much work as there is, a sample is like the next, and what else runs
// on the machine seldom gets to fill the caches with its own. The caller has
// locked the thread.
func held(cpus unix.CPUSet, fn func() error) error {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	policy, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return os.NewSyscallError("sched_getattr", err)
	}
	batch := *policy
	batch.Policy = unix.SCHED_BATCH
	batch.Nice = highest
	err = errors.Join(
		os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &cpus)),
		os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, &batch, 0)),
	)
	if err == nil {
		err = fn()
	}
	return errors.Join(err,
		os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, policy, 0)),
		os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)),
	)
}

func (p *process) pid() int { return p.command.Process.Pid }

// stop ends the child and waits for it. Whatever it wrote to standard error is
// a failure. Stopping twice is stopping once.
func (p *process) stop() {
	p.stopped.Do(func() {
		_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended
		kill := time.AfterFunc(3*time.Second, func() { _ = p.command.Process.Kill() })
		defer kill.Stop()
		_ = p.command.Wait() // ended by a signal is how it should end
		if p.stderr.Len() > 0 {
			p.tb.Errorf("%s: %s", p.command, bytes.TrimSpace(p.stderr.Bytes()))
		}
	})
}
