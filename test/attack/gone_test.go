// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// pinned returns the directories of namespaces below the pin directory.
func pinned(t *testing.T, x *lab.XFWD) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(x.Root, "net-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// passing makes a network namespace that goes at a call, with a forward in it.
func passing(t *testing.T, net *lab.Network, x *lab.XFWD, role string) (end func()) {
	t.Helper()
	lab.Need(t, "ip")
	name := net.Host.Name + "-" + role
	net.Host.Run("ip", "netns", "add", name)
	ended := false
	end = func() {
		if !ended {
			ended = true
			net.Host.Run("ip", "netns", "del", name)
		}
	}
	t.Cleanup(end)
	if result := x.RunCommand(x.CommandIn(name, "add", "--max-flows", "4096", "80", "30080")); result.Status != 0 {
		t.Fatalf("add: status %d: %s", result.Status, result.Stderr)
	}
	return end
}

// awaitPinned repeats something until there are so many dataplanes.
func awaitPinned(t *testing.T, x *lab.XFWD, want int, do func()) {
	t.Helper()
	// The kernel takes a namespace down when it finds the time.
	lab.Eventually(t, 2*time.Minute, func() error {
		do()
		if got := pinned(t, x); len(got) != want {
			return fmt.Errorf("there are %v, want %d", got, want)
		}
		return nil
	})
}

// Namespaces that come and go, each with a dataplane, as containers do, fill neither the
// memory nor the root cgroup: the next command anywhere removes what is theirs.
func TestNamespacesThatAreGone(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80", "30080")
	for i := range 3 {
		end := passing(t, net, x, fmt.Sprint("passing", i))
		if got := pinned(t, x); len(got) != 2 {
			t.Fatalf("there are %v", got)
		}
		end()
		awaitPinned(t, x, 1, func() { x.Add(fmt.Sprint(81+i), "30080") })
	}
	if got := x.List(); len(got) != 4 {
		t.Errorf("the host has %d forwards", len(got))
	}
	// A command that only looks changes nothing.
	passing(t, net, x, "looked-at")()
	time.Sleep(time.Second)
	x.Do("list")
	if got := pinned(t, x); len(got) != 2 {
		t.Errorf("after list there are %v", got)
	}
	// serve removes it, without being asked.
	s := x.Serve()
	awaitPinned(t, x, 1, func() {})
	s.Kill()
}

// A namespace that lives keeps its dataplane, though it has no name, no process that can be
// seen, and all its links are detached.
func TestNamespacesThatLive(t *testing.T) {
	t.Parallel()
	lab.Need(t, "unshare", "bpftool")
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80", "30080")
	end := passing(t, net, x, "nameless")
	handle, err := os.Open("/run/netns/" + net.Host.Name + "-nameless")
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	end()
	links, err := filepath.Glob(filepath.Join(x.Root, "net-*", "links", "1-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		// Before Linux 6.6 there is none.
		net.Host.Run("bpftool", "link", "detach", "pinned", link)
	}
	// In a process namespace of its own nothing else is seen.
	alone := func(args ...string) {
		t.Helper()
		command := x.Command(args...)
		command.Args = append([]string{"unshare", "--pid", "--mount", "--fork", "--mount-proc"}, command.Args...)
		command.Path, err = exec.LookPath("unshare")
		if err != nil {
			t.Fatal(err)
		}
		if result := x.RunCommand(command); result.Status != 0 {
			t.Errorf("%q: status %d: %s", args, result.Status, result.Stderr)
		}
	}
	for i := range 3 {
		alone("add", fmt.Sprint(81+i), "30080")
		x.Add(fmt.Sprint(91+i), "30080")
		time.Sleep(100 * time.Millisecond)
	}
	if got := pinned(t, x); len(got) != 2 {
		t.Fatalf("there are %v", got)
	}
	through := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), handle.Fd())
	if result := x.RunCommand(x.CommandIn(through, "list", "-o", "json")); result.Status != 0 || len(result.Stdout) < 10 {
		t.Errorf("list: status %d: %s%s", result.Status, result.Stdout, result.Stderr)
	}
	if result := x.RunCommand(x.CommandIn(through, "unload")); result.Status != 0 {
		t.Errorf("unload: status %d: %s", result.Status, result.Stderr)
	}
}
