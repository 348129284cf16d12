// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pinDir is where the pin directories of labs are.
const pinDir = "/sys/fs/bpf"

// Sweep removes the namespaces, pins and binaries of labs whose process was
// killed before it could. Those of live processes, and what is not a lab's, stay.
func Sweep() error {
	var failures []error
	for _, name := range stale(runDir) {
		failures = append(failures, removeNamespace(name))
	}
	for _, dir := range []string{pinDir, os.TempDir()} {
		for _, name := range stale(dir) {
			failures = append(failures, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return errors.Join(failures...)
}

// stale lists what in dir bears the name of a lab and the id of a process that
// is gone.
func stale(dir string) []string {
	entries, _ := os.ReadDir(dir) // no directory, nothing stale
	var names []string
	for _, entry := range entries {
		if pid, ok := maker(entry.Name()); ok && unix.Kill(pid, 0) == unix.ESRCH {
			names = append(names, entry.Name())
		}
	}
	return names
}

// maker returns the process id in a name that a lab gave.
func maker(name string) (int, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, false
	}
	pid, err := strconv.Atoi(digits)
	return pid, err == nil && pid > 0
}
