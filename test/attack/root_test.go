// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// intruder is the user whom the host does not know.
const intruder = 54321

// Where others may write to the BPF file system, a directory that one of them has made or
// could move or lock, is not used, and a command that may use it cannot be disturbed.
func TestPinDirectoryOfOthers(t *testing.T) {
	t.Parallel()
	lab.Need(t, "setpriv", "flock")
	const other, moved = "belongs to user 54321", "others may move"
	for name, c := range map[string]struct {
		// mode is that of the root of the file system, and owner its owner.
		mode  uint32
		owner int
		// made is the pin directory, if it is there already.
		made     bool
		madeMode os.FileMode
		madeBy   int
		want     string
	}{
		"everybody's":         {mode: 0o777, want: moved},
		"a group's":           {mode: 0o770, want: moved},
		"sticky":              {mode: 0o1777},
		"ours":                {mode: 0o700},
		"the intruder's":      {mode: 0o700, owner: intruder, want: other},
		"made first":          {mode: 0o1777, made: true, madeMode: 0o700, madeBy: intruder, want: other},
		"made first, open":    {mode: 0o1777, made: true, madeMode: 0o777, madeBy: intruder, want: other},
		"ours, but writable":  {mode: 0o1777, made: true, madeMode: 0o770, want: "chmod 0700"},
		"ours, but lockable":  {mode: 0o1777, made: true, madeMode: 0o755, want: "chmod 0700"},
		"ours, the group's":   {mode: 0o1777, made: true, madeMode: 0o750},
		"ours, made by hand ": {mode: 0o1777, made: true, madeMode: 0o700},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			x := net.Host.XFWD()
			at := t.TempDir()
			// The intruder may go there.
			if err := os.Chmod(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("bpf", at, "bpf", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			if err := os.Chown(at, c.owner, 0); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Chmod(at, c.mode); err != nil {
				t.Fatal(err)
			}
			usual := x.Root
			x.Root = filepath.Join(at, "xfwd")
			defer func() { x.Root = usual }()
			if c.made {
				for _, step := range []error{os.Mkdir(x.Root, 0o700), os.Chmod(x.Root, c.madeMode), os.Chown(x.Root, c.madeBy, 0)} {
					if step != nil {
						t.Fatal(step)
					}
				}
			}
			result := x.Run("add", "--max-flows", "4096", "80", "30080")
			if c.want != "" {
				if result.Status != 5 || !strings.Contains(result.Stderr, c.want) || strings.Count(result.Stderr, "\n") != 1 {
					t.Errorf("add: status %d: %s", result.Status, result.Stderr)
				}
				if c.made {
					if read := x.Run("list"); read.Status != 5 || !strings.Contains(read.Stderr, c.want) {
						t.Errorf("list: status %d: %s", read.Status, read.Stderr)
					}
				}
				return
			}
			if result.Status != 0 {
				t.Fatalf("add: status %d: %s", result.Status, result.Stderr)
			}
			// What the intruder could do: hold the lock, move all away, or put something in.
			asIntruder := func(script string) error {
				_, err := net.Client.Try("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "sh", "-c", script)
				return err
			}
			if c.mode == 0o1777 {
				if err := asIntruder("mkdir " + at + "/mine && flock --nonblock " + at + "/mine true && mv " + at + "/mine " + at + "/yours"); err != nil {
					t.Fatal(err)
				}
			}
			for _, attack := range []string{
				"flock --nonblock " + x.Root + " true",
				"flock --nonblock " + x.Root + "/turn true",
				"mv " + x.Root + " " + at + "/away",
				"mkdir " + x.Root + "/net-1",
				"rm -r " + x.Root + "/turn",
			} {
				if asIntruder(attack) == nil {
					t.Errorf("the intruder can %s", attack)
				}
			}
			if got := x.List(); len(got) != 1 {
				t.Errorf("there are %d forwards", len(got))
			}
			x.Do("unload")
		})
	}
}
