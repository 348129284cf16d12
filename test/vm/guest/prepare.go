// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/vm/job"
)

// mounts are the file systems that any booted machine has.
var mounts = []struct{ where, kind string }{
	{"/dev", "devtmpfs"},
	{"/dev/pts", "devpts"},
	{"/dev/shm", "tmpfs"},
	{"/proc", "proc"},
	{"/sys", "sysfs"},
	{"/sys/fs/cgroup", "cgroup2"},
	{"/sys/fs/bpf", "bpf"},
	{"/run", "tmpfs"},
	{"/tmp", "tmpfs"},
}

// openFiles is the limit that systemd sets for services.
const openFiles = 512 << 10

func prepare() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.where, 0o755); err != nil {
			return err
		}
		err := unix.Mount(m.kind, m.where, m.kind, unix.MS_NOSUID, "")
		// The kernel itself may have mounted /dev.
		if err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	if err := os.Chmod("/tmp", os.ModeSticky|0o777); err != nil {
		return err
	}
	// Mount namespaces see what is mounted later, as where systemd is the first
	// process.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: openFiles, Max: openFiles}); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return unix.Sethostname([]byte("guest"))
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.FinitModule(int(file.Fd()), "", 0)
}

// openResults opens the serial port and switches off what terminals do to text.
func openResults() (*os.File, error) {
	port, err := os.OpenFile(job.Results, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	settings, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	settings.Oflag &^= unix.OPOST
	return port, unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, settings)
}

// drain waits until the serial port has sent everything.
func drain(port *os.File) error {
	for {
		// Go's own signals, by which it preempts, interrupt the wait.
		if err := unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1); err != unix.EINTR {
			return err
		}
	}
}
