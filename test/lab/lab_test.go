// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A namespace can be seen while the test runs, and is gone afterwards.
func TestNamespaceIsRemoved(t *testing.T) {
	var path string
	t.Run("inside", func(t *testing.T) {
		n := New(t).Namespace("host")
		path = n.Path()
		if !isMountPoint(t, path) {
			t.Errorf("%s is no mount point", path)
		}
		outside := currentNamespace(t)
		n.Do(func() {
			if currentNamespace(t) == outside {
				t.Error("Do runs outside of the namespace")
			}
		})
		if currentNamespace(t) != outside {
			t.Error("Do does not return to where it came from")
		}
		if got := n.Run("cat", "/sys/class/net/lo/flags"); got == "" {
			t.Error("Run returns no output")
		}
	})
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is still there", path)
	}
}

func currentNamespace(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func isMountPoint(t *testing.T, path string) bool {
	t.Helper()
	var file, dir unix.Stat_t
	if err := unix.Stat(path, &file); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(filepath.Dir(path), &dir); err != nil {
		t.Fatal(err)
	}
	return file.Dev != dir.Dev
}

// Sweep removes what dead processes left, and nothing else.
func TestSweep(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	name := func(pid int) string { return prefix + strconv.Itoa(pid) + "-" + randomName() + "-host" }
	stale, live := name(dead.Process.Pid), name(os.Getpid())
	foreign := "lab-test-" + randomName()
	for _, name := range []string{stale, live, foreign} {
		if err := makeNamespace(name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeNamespace(name) })
	}
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{stale: false, live: true, foreign: true} {
		if _, err := os.Stat(filepath.Join(runDir, name)); (err == nil) != want {
			t.Errorf("%s: there after the sweep: %v, want %v", name, err == nil, want)
		}
	}
}

// The names that a lab gives are told from those of others.
func TestMaker(t *testing.T) {
	for name, want := range map[string]int{
		"xfwd-12-abc-host": 12, "xfwd-12": 0, "xfwd": 0, "xfwd-x-abc": 0, "xfwd--1-a": 0, "other-12-abc": 0, "": 0,
	} {
		pid, ok := maker(name)
		if !ok {
			pid = 0
		}
		if pid != want {
			t.Errorf("%q: %d, want %d", name, pid, want)
		}
	}
}

// A traced program is stopped before each change, in order, and has made the
// changes before.
func TestTraceStopsBeforeEachChange(t *testing.T) {
	if dir := os.Getenv("XFWD_LAB_CHANGES"); dir != "" {
		// The traced program: this test in another process.
		os.Mkdir(dir, 0o700)
		os.Rename(dir, dir+"2")
		os.Remove(dir + "2")
		os.Exit(0)
	}
	dir := filepath.Join(t.TempDir(), "dir")
	t.Setenv("XFWD_LAB_CHANGES", dir)
	for step, want := range []struct{ call, left string }{
		{"mkdirat", ""}, {"rename", dir}, {"unlinkat", dir + "2"}, // as a file, which fails
		{"unlinkat", dir + "2"}, {"", ""},
	} {
		done := make(chan error)
		var call string
		go func() {
			runtime.LockOSThread()
			var err error
			call, err = traceTo(exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$"), step+1)
			done <- err
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if call != want.call {
			t.Errorf("step %d is %q, want %q", step+1, call, want.call)
		}
		left, _ := filepath.Glob(dir + "*")
		if got := strings.Join(left, " "); got != want.left {
			t.Errorf("before step %d there is %q, want %q", step+1, got, want.left)
		}
		for _, file := range left {
			os.Remove(file)
		}
	}
}
