// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// mountSpace is a shell in mount and process namespaces of its own, the first process
// of what looks like a machine where nobody has mounted bpffs. It knows xfwd by name.
type mountSpace struct {
	t     *testing.T
	shell *lab.Process
	stdin io.Writer
	asked int
}

const withoutBPFFS = `
while umount /sys/fs/bpf 2>/dev/null; do :; done
if grep -q ' bpf ' /proc/mounts; then echo "bpffs is still mounted" >&2; exit 9; fi
xfwd() { "$BINARY" --root "$ROOT" --netns "$NETNS" "$@"; }
asked=0
while read -r line; do
	eval "$line" 2>&1
	status=$?
	asked=$((asked + 1))
	echo
	echo "answer $asked is $status"
done
`

// newMountSpace makes one for the instance of a host.
func newMountSpace(t *testing.T, host *lab.Namespace, x *lab.XFWD) *mountSpace {
	t.Helper()
	lab.Need(t, "unshare", "sh", "grep", "umount")
	command := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", withoutBPFFS)
	command.Env = append(os.Environ(), "BINARY="+x.Binary(), "ROOT="+x.Root, "NETNS="+host.Name)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &mountSpace{t: t, shell: host.StartCommand(command), stdin: stdin}
}

// run runs a command line there, and returns all that it says and its exit status.
func (m *mountSpace) run(line string) (output string, status int) {
	m.t.Helper()
	before := m.shell.Stdout.String()
	m.asked++
	if _, err := fmt.Fprintln(m.stdin, line); err != nil {
		m.t.Fatalf("%s: %v; it wrote %s", line, err, &m.shell.Stderr)
	}
	// To load the programs takes an emulated processor its time.
	lab.Eventually(m.t, 2*time.Minute, func() error {
		said := strings.TrimPrefix(m.shell.Stdout.String(), before)
		var tail string
		var found bool
		output, tail, found = strings.Cut(said, fmt.Sprintf("\nanswer %d is ", m.asked))
		if !found || !strings.HasSuffix(tail, "\n") {
			if !m.shell.Running() {
				m.t.Fatalf("it ended: %s%s", said, &m.shell.Stderr)
			}
			return fmt.Errorf("%q is not answered yet: %q", line, said)
		}
		var err error
		if status, err = strconv.Atoi(strings.TrimSpace(tail)); err != nil {
			m.t.Fatal(err)
		}
		return nil
	})
	return output, status
}

// do is run for what must succeed.
func (m *mountSpace) do(line string) string {
	m.t.Helper()
	output, status := m.run(line)
	if status != 0 {
		m.t.Fatalf("%s: exit status %d: %s", line, status, output)
	}
	return output
}

// mountBPFFS mounts a BPF file system there, over one that may be there already.
func (m *mountSpace) mountBPFFS() {
	m.t.Helper()
	done := make(chan error)
	go func() {
		// Never unlocked: a thread that has moved between mount namespaces ends.
		runtime.LockOSThread()
		there, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", m.shell.Process.Pid))
		if err == nil {
			defer there.Close()
			err = unix.Unshare(unix.CLONE_FS)
		}
		if err == nil {
			err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNS)
		}
		if err == nil {
			err = unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		m.t.Fatal(err)
	}
}

// bpffs is mounted if it is not, and later commands find what is pinned there.
func TestBPFFSIsMounted(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	m := newMountSpace(t, net.Host, net.Host.XFWD())
	m.do("xfwd status -o json")
	m.do("xfwd add --max-flows 4096 80 30080")
	if mounts := m.do("grep ' bpf ' /proc/mounts"); strings.Count(mounts, "/sys/fs/bpf bpf") != 1 {
		t.Errorf("mounts: %s", mounts)
	}
	if forwards := m.do("xfwd list -o json"); !strings.Contains(forwards, `"port": 80,`) {
		t.Errorf("forwards: %s", forwards)
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))
	m.do("xfwd unload")
}
