// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// childCgroup makes a child of the root cgroup of the unified hierarchy, wherever that
// is mounted, and returns its path. The end of the test removes it.
func childCgroup(t *testing.T) string {
	t.Helper()
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	child := filepath.Join(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), root), "xfwd-test-"+rand.Text())
	if err := os.Mkdir(child, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The kernel counts a process that has ended a moment longer.
		lab.Eventually(t, lab.Patience, func() error { return os.Remove(child) })
	})
	return child
}

// inCgroup is a command line as a process of a cgroup runs it, with a cgroup namespace
// and others that `unshare` has options for.
func inCgroup(cgroup string, command *exec.Cmd, options ...string) *exec.Cmd {
	const enter = `echo $$ >"$0/cgroup.procs" && exec "$@"`
	args := append([]string{"-c", enter, cgroup}, "unshare")
	args = append(append(args, options...), "--cgroup", "--")
	return exec.Command("sh", append(args, command.Args...)...)
}

var socketHookNames = []string{"connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6"}

// mustForwardOwn fails the test unless the host's own connections to port 80 are answered
// by the server at another one.
func mustForwardOwn(t *testing.T, net *lab.Network) {
	t.Helper()
	for _, network := range networks {
		for _, own := range loopbackAddresses.All() {
			mustEcho(t, net.Host.MustConnect(network, at(own, 80)))
		}
	}
}

// mustLeaveOwn fails the test unless port 80 refuses the host's own connections.
func mustLeaveOwn(t *testing.T, net *lab.Network) {
	t.Helper()
	for _, network := range networks {
		for _, own := range loopbackAddresses.All() {
			if _, err := net.Host.Connect(network, at(own, 80), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s %v: %v, want a refusal", network, own, err)
			}
		}
	}
}

// ownHost is a host with a server on port 30080.
func ownHost(t *testing.T) (*lab.Network, *lab.XFWD) {
	t.Helper()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	return net, net.Host.XFWD()
}

// A command in a cgroup namespace that sees the process which started it outside attaches to the root
// cgroup all the same.
func TestLoadedInCgroupNamespace(t *testing.T) {
	t.Parallel()
	lab.Need(t, "unshare")
	net, x := ownHost(t)
	cgroup := childCgroup(t)
	result := x.RunCommand(inCgroup(cgroup, x.Command("add", "--max-flows", x.MaxFlows, "80/tcp+udp", "30080")))
	if result.Status != 0 || strings.Contains(result.Stderr, "cgroup") {
		t.Fatalf("add ended with %d and said %s", result.Status, result.Stderr)
	}
	mustBeFine(t, x)
	mustForwardOwn(t, net)
}

// A command in a container that has a cgroup namespace and its own processes only cannot
// attach to the root cgroup, and says so. The next command outside mends it.
func TestLoadedInContainerWithCgroupNamespace(t *testing.T) {
	t.Parallel()
	lab.Need(t, "unshare")
	net, x := ownHost(t)
	cgroup := childCgroup(t)
	inside := func(args ...string) lab.Result {
		result := x.RunCommand(inCgroup(cgroup, x.Command(append(args, "--max-flows", x.MaxFlows)...), "--pid", "--fork", "--mount-proc"))
		if result.Status != 0 {
			t.Fatalf("%q ended with %d: %s", args, result.Status, result.Stderr)
		}
		return result
	}
	const why = "connections of this host itself are not forwarded: this process is in a cgroup namespace and cannot reach the root cgroup; run xfwd outside of it, or with the PID namespace of the host"
	if said := inside("add", "80/tcp+udp", "30080").Stderr; !strings.Contains(said, why) {
		t.Errorf("add says\n%swant\n%s", said, why)
	}
	for _, name := range socketHookNames {
		if hook := hookOf(t, x.Status(), "", name); hook.Mode != "none" || !hook.Missing {
			t.Errorf("status says of a hook that is missing: %+v", hook)
		}
	}
	mustLeaveOwn(t, net)
	for _, host := range net.HostAddr.All() {
		mustEcho(t, net.Client.MustConnect("tcp", at(host, 80)))
	}
	x.Add("80/tcp+udp", "30080")
	mustBeFine(t, x)
	mustForwardOwn(t, net)
	// What is at the root stays there, whoever has commands.
	if said := inside("add", "81/tcp+udp", "30080").Stderr; strings.Contains(said, "cgroup") {
		t.Errorf("with hooks at the root, add says %s", said)
	}
	mustBeFine(t, x)
	mustForwardOwn(t, net)
}

// Hooks that sit on a child of the root cgroup serve only the processes there. Status
// says so, and the next command moves them.
func TestSocketHooksOfChildCgroup(t *testing.T) {
	t.Parallel()
	net, x := ownHost(t)
	x.Add("80/tcp+udp", "30080")
	cgroup := childCgroup(t)
	for _, name := range socketHookNames {
		moveSocketHook(t, x.PinOf("links/"+name), cgroup)
	}
	mustWarn(t, x, "connections of this host itself are not forwarded: the hook is attached to a child of the root cgroup", "moves it")
	for _, name := range socketHookNames {
		if hook := hookOf(t, x.Status(), "", name); hook.Mode != "none" || !hook.Missing {
			t.Errorf("status says of a hook on a child: %+v", hook)
		}
	}
	mustLeaveOwn(t, net)
	x.Add("80/tcp+udp", "30080")
	mustBeFine(t, x)
	mustForwardOwn(t, net)
}

// moveSocketHook attaches the program of a pinned link to another cgroup, by a link
// that takes its pin.
func moveSocketHook(t *testing.T, pin, cgroup string) {
	t.Helper()
	old, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	info, err := old.Info()
	if err != nil {
		t.Fatal(err)
	}
	program, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	moved, err := link.AttachCgroup(link.CgroupOptions{
		Path: cgroup, Attach: ebpf.AttachType(info.Cgroup().AttachType), Program: program,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	if err := moved.Pin(pin); err != nil {
		t.Fatal(err)
	}
}
