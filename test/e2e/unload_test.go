// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/xfwd/xfwd/test/lab"
)

// unload leaves nothing behind: no pin, no program, no map, no link, no qdisc
// and no filter.
func TestUnloadLeavesNothing(t *testing.T) {
	t.Parallel()
	lab.Need(t, "tc", "bpftool")
	net := lab.New(t).Direct()
	net.SecondLink()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	before := attachments(net)
	for range 2 {
		x.Add("80/tcp+udp", "30080")
		conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80))
		mustEcho(t, conn)
		objects := objectsOf(t, x.Root)
		if len(objects.programs) == 0 || len(objects.maps) == 0 {
			t.Fatalf("no programs or maps are pinned below %s: the test does not test what it says", x.Root)
		}
		x.Do("unload")
		if after := attachments(net); after != before {
			t.Errorf("attached after unload:\n%s\nbefore:\n%s", after, before)
		}
		if _, err := os.Stat(x.Root); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", x.Root, err)
		}
		// The kernel frees programs and maps when all readers are done.
		lab.Eventually(t, 5*time.Second, objects.gone)
		if got := x.List(); len(got) != 0 {
			t.Errorf("an unloaded xfwd lists %+v", got)
		}
		if status := x.Status(); status.Loaded {
			t.Errorf("status after unload: %+v", status)
		}
		x.Do("unload") // again is no error
	}
}

// attachments is what tc and bpftool show of the host's devices.
func attachments(net *lab.Network) (all string) {
	for _, device := range []string{"lo", "eth0", "eth1"} {
		all += net.Host.Run("tc", "qdisc", "show", "dev", device)
		for _, direction := range []string{"ingress", "egress"} {
			all += net.Host.Run("tc", "filter", "show", "dev", device, direction)
		}
	}
	return all + net.Host.Run("bpftool", "net")
}

// objects are the kernel's ids of what an instance made.
type objects struct {
	programs map[ebpf.ProgramID]string
	maps     map[ebpf.MapID]string
	links    map[link.ID]string
}

// objectsOf finds what is pinned below a directory, and the maps that the
// programs there use.
func objectsOf(t *testing.T, root string) objects {
	t.Helper()
	found := objects{map[ebpf.ProgramID]string{}, map[ebpf.MapID]string{}, map[link.ID]string{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if m, err := ebpf.LoadPinnedMap(path, nil); err == nil {
			defer m.Close()
			if info, err := m.Info(); err == nil {
				if id, ok := info.ID(); ok {
					found.maps[id] = path
				}
			}
			return nil
		}
		if l, err := link.LoadPinnedLink(path, nil); err == nil {
			defer l.Close()
			if info, err := l.Info(); err == nil {
				found.links[info.ID] = path
				found.programs[info.Program] = path
			}
			return nil
		}
		if p, err := ebpf.LoadPinnedProgram(path, nil); err == nil {
			defer p.Close()
			if info, err := p.Info(); err == nil {
				if id, ok := info.ID(); ok {
					found.programs[id] = path
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range found.programs {
		program, err := ebpf.NewProgramFromID(id)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := program.Info(); err == nil {
			used, _ := info.MapIDs()
			for _, m := range used {
				found.maps[m] = found.programs[id]
			}
		}
		program.Close()
	}
	return found
}

// gone fails as long as one of the objects exists.
func (o objects) gone() error {
	for id, path := range o.programs {
		if program, err := ebpf.NewProgramFromID(id); err == nil {
			program.Close()
			return fmt.Errorf("program %d of %s is still there", id, path)
		}
	}
	for id, path := range o.maps {
		if m, err := ebpf.NewMapFromID(id); err == nil {
			m.Close()
			return fmt.Errorf("map %d of %s is still there", id, path)
		}
	}
	for id, path := range o.links {
		if l, err := link.NewFromID(id); err == nil {
			l.Close()
			return fmt.Errorf("link %d of %s is still there", id, path)
		}
	}
	return nil
}
