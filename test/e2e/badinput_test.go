// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xfwd/xfwd/test/lab"
)

// mustFail fails the test unless xfwd failed as promised: with that exit status,
// one line on standard error that speaks of each of the words, and nothing on
// standard output.
func mustFail(t *testing.T, result lab.Result, status int, words ...string) {
	t.Helper()
	if result.Status != status {
		t.Errorf("exit status %d, want %d: %s", result.Status, status, result.Stderr)
	}
	if lines := strings.Count(result.Stderr, "\n"); lines != 1 || !strings.HasSuffix(result.Stderr, "\n") {
		t.Errorf("%d lines on standard error, want one: %q", lines, result.Stderr)
	}
	if result.Stdout != "" {
		t.Errorf("on standard output: %q", result.Stdout)
	}
	for _, word := range words {
		if !strings.Contains(result.Stderr, word) {
			t.Errorf("%q is not in the message %q", word, result.Stderr)
		}
	}
}

// A command that fails has one line to say, the exit status that is promised,
// and has changed nothing.
func TestFailuresChangeNothing(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080", "--name", "web")
	x.Add("53/udp", "30053")
	x.Add("9000-9010", "30080")
	before := x.List()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "forwards.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const good = "apiVersion: xfwd/v1\nforwards:\n  - frontend: 8080\n    backends: [30080]\n"
	for _, failure := range []struct {
		name   string
		status int
		args   []string
		words  []string
	}{
		{"port 0", 2, []string{"add", "0", "30080"}, []string{"0"}},
		{"port 65536", 2, []string{"add", "65536", "30080"}, []string{"65536"}},
		{"backend port 0", 2, []string{"add", "81", "0"}, []string{"0"}},
		{"range that ends before it begins", 2, []string{"add", "80-79", "30080"}, []string{"80-79"}},
		{"ranges of unequal length", 2, []string{"add", "7000-7005", "31000-31004"}, []string{"6", "5"}},
		{"unknown protocol", 2, []string{"add", "81/sctp", "30080"}, []string{"sctp", "tcp"}},
		{"malformed address", 2, []string{"add", "192.0.2.300:81", "30080"}, []string{"192.0.2.300"}},
		{"IPv4 to IPv6", 2, []string{"add", "192.0.2.80:81", "[2001:db8:100::1]:30080"}, []string{"IPv4", "IPv6"}},
		{"frontend taken", 3, []string{"add", "80", "30081"}, []string{"80/tcp", "--replace"}},
		{"range overlaps", 3, []string{"add", "9005-9020", "30080"}, []string{"9000-9010"}},
		{"name taken", 3, []string{"add", "81", "30080", "--name", "web"}, []string{"web"}},
		{"udp deleted as tcp", 4, []string{"del", "53/tcp"}, []string{"53/tcp"}},
		{"deleted together with what is not there", 4, []string{"del", "80", "81"}, []string{"81"}},
		{"no such name", 4, []string{"show", "nobody"}, []string{"nobody"}},
		{"missing file", 1, []string{"apply", "-f", "/nonexistent/forwards.yaml"}, []string{"/nonexistent/forwards.yaml"}},
		{"malformed file", 2, []string{"apply", "-f", file("forwards: [")}, []string{"forwards.yaml"}},
		{"unknown key", 2, []string{"apply", "-f", file(good + "    backend: 1\n")}, []string{"forwards.yaml:5", "backend"}},
		{"duplicate in a file", 2, []string{"apply", "-f", file(good + "  - frontend: 8080/tcp\n    backends: [30081]\n")}, []string{"forwards.yaml:5", "8080"}},
		{"bad value in a file", 2, []string{"apply", "-f", file(good + "  - frontend: 70000\n    backends: [30081]\n")}, []string{"forwards.yaml:5", "70000"}},
		{"restore of a missing file", 1, []string{"restore", "/nonexistent/forwards.yaml"}, []string{"/nonexistent/forwards.yaml"}},
		{"loopback target", 2, []string{"add", "81", "127.0.0.1:30080"}, []string{"127.0.0.1", "30080"}},
		{"feature of another version", 2, []string{"add", "81", "30080", "--allow", "192.0.2.0/24"}, []string{"allow"}},
	} {
		t.Run(failure.name, func(t *testing.T) {
			mustFail(t, x.Run(failure.args...), failure.status, failure.words...)
			if difference := cmp.Diff(before, x.List()); difference != "" {
				t.Errorf("before (-), after (+):\n%s", difference)
			}
		})
	}
}

// A failing first command loads nothing.
func TestFailureLoadsNothing(t *testing.T) {
	t.Parallel()
	x := lab.New(t).Direct().Host.XFWD()
	mustFail(t, x.Run("add", "80", "30080,weight=x"), 2)
	mustFail(t, x.Run("del", "80"), 4)
	if x.Status().Loaded {
		t.Error("a command that failed loaded the dataplane")
	}
}

// --replace takes a frontend from another forward.
func TestReplaceTakesTheFrontend(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	net.Host.Echo("tcp", ":30080")
	net.Host.Echo("tcp", ":30081")
	x.Add("80", "30080")
	old := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
	x.Add("80", "30081", "--replace")
	conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
	if conn.Server.Port() != 30081 {
		t.Errorf("after --replace, %v is reached", conn.Server)
	}
	mustEcho(t, old)
}

// Without privileges: one line, the remedy, exit status 5.
func TestWithoutPrivileges(t *testing.T) {
	t.Parallel()
	x := lab.New(t).Direct().Host.XFWD()
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for _, loaded := range []bool{false, true} {
		for _, args := range [][]string{{"add", "81", "30080"}, {"list"}, {"del", "80"}, {"unload"}, {"status"}} {
			command := x.Command(args...)
			command.SysProcAttr = nobody
			mustFail(t, x.RunCommand(command), 5, "root")
		}
		if !loaded {
			x.Add("80", "30080")
		}
	}
	if got := frontends(x); !cmp.Equal(got, []string{"80/tcp"}) {
		t.Errorf("afterwards there are %v", got)
	}
}

// A pin directory that is not on a BPF file system: one line, exit status 5.
func TestRootOutsideOfBPFFileSystem(t *testing.T) {
	t.Parallel()
	x := lab.New(t).Direct().Host.XFWD()
	root := x.Root
	x.Root = filepath.Join(t.TempDir(), "pins")
	mustFail(t, x.Run("add", "80", "30080"), 5, x.Root)
	if _, err := os.Stat(x.Root); err == nil {
		t.Errorf("%s was left behind", x.Root)
	}
	x.Root = root
}

// An add for a port where a local socket already listens, whose target answers
// nobody, or whose device is not there, succeeds with a warning on standard error.
func TestAddWarns(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		net.Host.Echo(network, ":81")
		for _, add := range []struct {
			frontend, backend string
			words             []string
		}{
			{"80/" + network, "30080", nil},
			{"81/" + network, "30080", []string{"81", "listen"}},
			{"82/" + network, "30082", []string{"30082"}},
			{"83/" + network, "30080", []string{"eth9"}},
		} {
			args := []string{add.frontend, add.backend}
			if slices.Contains(add.words, "eth9") {
				args = append(args, "--device", "eth9")
			}
			result := x.Add(args...)
			if lines := strings.Count(result.Stderr, "\n"); lines > 1 || (lines == 1) != (add.words != nil) {
				t.Errorf("add %s %s: %d lines of warning: %s", add.frontend, add.backend, lines, result.Stderr)
			}
			for _, word := range add.words {
				if !strings.Contains(result.Stderr, word) {
					t.Errorf("add %s %s: %q is not in the warning %q", add.frontend, add.backend, word, result.Stderr)
				}
			}
		}
	}
	if got := x.List(); len(got) != 8 {
		t.Errorf("%d forwards are there, want 8", len(got))
	}
}
