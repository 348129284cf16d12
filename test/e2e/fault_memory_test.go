// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// memoryGroup is a control group of a test's own, with a limit of memory.
type memoryGroup struct {
	t              *testing.T
	directory      string
	limit, current string
}

// newMemoryGroup makes one where the machine has the memory controller, in the new
// hierarchy or the old one. The end of the test removes it.
func newMemoryGroup(t *testing.T) *memoryGroup {
	t.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // device directory type options
		g := &memoryGroup{t: t, directory: filepath.Join(fields[1], fmt.Sprintf("xfwd-%d-%s", os.Getpid(), t.Name()))}
		switch {
		case fields[2] == "cgroup" && slices.Contains(strings.Split(fields[3], ","), "memory"):
			g.limit, g.current = "memory.limit_in_bytes", "memory.usage_in_bytes"
		case fields[2] == "cgroup2" && hasMemoryController(t, fields[1]):
			g.limit, g.current = "memory.max", "memory.current"
		default:
			continue
		}
		if err := os.Mkdir(g.directory, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(g.directory); err != nil {
				t.Error(err)
			}
		})
		return g
	}
	t.Fatal("no mounted control group has the memory controller")
	return nil
}

// hasMemoryController says whether groups below the root of the new hierarchy can
// have limits of memory, and sees to it that they have.
func hasMemoryController(t *testing.T, root string) bool {
	t.Helper()
	has := func(file string) bool {
		words, err := os.ReadFile(filepath.Join(root, file))
		return err == nil && slices.Contains(strings.Fields(string(words)), "memory")
	}
	if !has("cgroup.controllers") {
		return false
	}
	const children = "cgroup.subtree_control"
	if !has(children) {
		if err := os.WriteFile(filepath.Join(root, children), []byte("+memory"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func (g *memoryGroup) setLimit(limit uint64) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.directory, g.limit), []byte(strconv.FormatUint(limit, 10)), 0); err != nil {
		g.t.Fatal(err)
	}
}

func (g *memoryGroup) used() uint64 {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.directory, g.current))
	if err != nil {
		g.t.Fatal(err)
	}
	used, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return used
}

// run runs a command of xfwd in the group.
func (g *memoryGroup) run(x *lab.XFWD, args ...string) lab.Result {
	g.t.Helper()
	command := x.Command(args...)
	command.Args = append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.directory, "cgroup.procs")}, command.Args...)
	var err error
	if command.Path, err = exec.LookPath("sh"); err != nil {
		g.t.Fatal(err)
	}
	return x.RunCommand(command)
}

// countsLocked says whether the kernel counts maps against the limit of locked memory,
// as it did before Linux 5.11, and not as their control group's.
func countsLocked(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major < 5 || major == 5 && minor < 11
}

const mebibyte = 1 << 20

// Where a control group has too little memory for the flow table, add says so and what
// to do, and leaves nothing; a smaller table works.
func TestFaultNoMemoryToLoad(t *testing.T) {
	t.Parallel()
	if countsLocked(t) {
		t.Skip("this kernel counts no map as its control group's memory: see TestFaultLockedMemory")
	}
	lab.Need(t, "sh")
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	g := newMemoryGroup(t)
	// The process itself takes some fifty, this table a thousand.
	g.setLimit(192 * mebibyte)
	mustFail(t, g.run(x, "add", "--max-flows", "1048576", "80/tcp+udp", "30080"), 1,
		"flows_established", "not enough memory", "limit of the control group", "smaller --max-flows")
	mustBeGone(t, x)
	if result := g.run(x, "add", "--max-flows", "4096", "80/tcp+udp", "30080"); result.Status != 0 {
		t.Fatalf("a small table: exit status %d: %s", result.Status, result.Stderr)
	}
	keepTalking(net, 80).mustGoOn(t, soon)
	mustBeFine(t, x)
	x.Do("unload")
}

// mustBeGone fails the test if anything is left of an instance that was not loaded.
func mustBeGone(t *testing.T, x *lab.XFWD) {
	t.Helper()
	if _, err := os.Stat(x.Root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", x.Root, err)
	}
	if status := x.Status(); status.Loaded || len(status.Warnings) != 0 {
		t.Errorf("status: %+v", status)
	}
}

// Where the memory is used up under a dataplane that serves, a change that needs more is
// refused as a whole, and what is there is served on.
func TestFaultNoMemoryToChange(t *testing.T) {
	t.Parallel()
	if countsLocked(t) {
		t.Skip("this kernel counts no map as its control group's memory")
	}
	lab.Need(t, "sh")
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	g := newMemoryGroup(t)
	g.setLimit(1024 * mebibyte)
	if result := g.run(x, "add", "--max-flows", "4096", "80/tcp+udp", "30080"); result.Status != 0 {
		t.Fatalf("exit status %d: %s", result.Status, result.Stderr)
	}
	load := keepTalking(net, 80)
	load.mustGoOn(t, soon)
	file := forwardsFile(t, 6000, func(i int) string { return fmt.Sprint(40000 + i) })
	g.setLimit(g.used() + mebibyte)
	mustFail(t, x.Run("apply", "-f", file), 1, "not enough memory for map", "limit of the control group")
	if forwards := x.Status().Forwards; forwards != 2 {
		t.Errorf("there are %d forwards, want 2", forwards)
	}
	load.mustGoOn(t, soon)
	if _, err := net.Client.Connect("tcp", at(net.HostAddr.V4, 40000), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port that could not be published: %v", err)
	}
	g.setLimit(1024 * mebibyte)
	x.Do("apply", "-f", file)
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 40000)))
	load.mustGoOn(t, soon)
	mustBeFine(t, x)
	x.Do("unload")
}

// withoutResource is the environment variable that makes a process of this test binary
// run a command, one word a line, as root without CAP_SYS_RESOURCE
// who may lock little memory.
const withoutResource = "XFWD_TEST_WITHOUT_RESOURCE"

// runWithoutResource does not return.
func runWithoutResource(args string) {
	const capSysResource = 24
	runtime.LockOSThread()
	words := strings.Split(args, "\n")
	err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10})
	if err == nil {
		// Of this thread, and so of the program that it becomes.
		err = unix.Prctl(unix.PR_CAPBSET_DROP, capSysResource, 0, 0, 0)
	}
	if err == nil {
		err = unix.Exec(words[0], words, slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, withoutResource) }))
	}
	panic(err)
}

// Where locked memory is limited and the limit cannot be lifted, a kernel that counts
// maps against it gets nothing loaded, in one line that says what to do; others do not
// mind.
func TestFaultLockedMemory(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	add := x.Command("add", "--max-flows", "4096", "80", "30080")
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), withoutResource+"="+strings.Join(add.Args, "\n"))
	result := x.RunCommand(command)
	if countsLocked(t) {
		mustFail(t, result, 5, "limit of locked memory", "CAP_SYS_RESOURCE", "`ulimit -l unlimited`")
		mustBeGone(t, x)
		x.Add("80", "30080")
	} else if result.Status != 0 {
		t.Fatalf("exit status %d: %s", result.Status, result.Stderr)
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))
}
