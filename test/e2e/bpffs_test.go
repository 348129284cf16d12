// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// withoutBPFFS runs in mount and process namespaces of its own, so that it is
// the first process of what looks like a machine where nobody has mounted bpffs.
const withoutBPFFS = `
set -eu
while umount /sys/fs/bpf 2>/dev/null; do :; done
if grep -q ' bpf ' /proc/mounts; then echo "bpffs is still mounted" >&2; exit 9; fi
xfwd() { "$BINARY" --root "$ROOT" --netns "$NETNS" "$@"; }
xfwd status -o json >&2
xfwd add --max-flows 4096 80 30080
grep ' bpf ' /proc/mounts
xfwd list -o json
echo ready
read -r _
xfwd unload
echo done
`

// bpffs is mounted if it is not, and later commands find what is pinned there.
func TestBPFFSIsMounted(t *testing.T) {
	t.Parallel()
	lab.Need(t, "unshare", "sh", "grep", "umount")
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	command := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", withoutBPFFS)
	command.Env = append(os.Environ(), "BINARY="+x.Binary(), "ROOT="+x.Root, "NETNS="+net.Host.Name)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	machine := net.Host.StartCommand(command)
	says := func(word string) func() error {
		return func() error {
			if output := machine.Stdout.String(); !strings.Contains(output, word) {
				if !machine.Running() {
					t.Fatalf("it ended: %s%s", output, &machine.Stderr)
				}
				return fmt.Errorf("%q is not in %q", word, output)
			}
			return nil
		}
	}
	lab.Eventually(t, 3*lab.Patience, says("ready"))
	if output := machine.Stdout.String(); strings.Count(output, "/sys/fs/bpf bpf") != 1 || !strings.Contains(output, `"port": 80,`) {
		t.Errorf("mounts and forwards: %s", output)
	}
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))
	stdin.Write([]byte("\n"))
	lab.Eventually(t, lab.Patience, says("done"))
}
