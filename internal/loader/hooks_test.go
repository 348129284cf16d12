// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/lab"
)

// newLoader returns a loader for a fresh namespace with a device pair, a0 and
// a1, and a root of its own. Both are removed with the test.
func newLoader(t *testing.T) *Loader {
	t.Helper()
	n := lab.New(t).Namespace("loader")
	n.Do(func() {
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a0"}, PeerName: "a1"})
		if err != nil {
			t.Fatal(err)
		}
	})
	l, err := New(n.Name, filepath.Join(bpffs, "xfwd-test-"+rand.Text()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		write(t, l, func(s *Session) {
			if err := s.Unload(); err != nil {
				t.Error(err)
			}
		})
		l.Close()
	})
	return l
}

func write(t *testing.T, l *Loader, f func(*Session)) {
	t.Helper()
	s, err := l.Write(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f(s)
}

// loadOnce loads programs and maps for all tests of this process: for an emulated
// processor of a test VM, their verification is the work of minutes.
var loadOnce = sync.OnceValues(func() (*ebpf.Collection, error) {
	here, err := OpenNamespace("")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	if err := liftMemoryLimit(); err != nil {
		return nil, err
	}
	spec, err := collection(here, sharedFlows)
	if err != nil {
		return nil, err
	}
	c, err := makeMaps(spec)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(slices.Collect(maps.Keys(spec.Programs)), func(name string) bool {
		return strings.HasPrefix(name, bpf.XfwdProgXfwdXdp) && name != xdpProgram()
	})
	c.Programs, err = loadPrograms(spec, c.Maps, names)
	return c, err
})

const sharedFlows = 1024

// loaded calls f with a dataplane that is not attached yet, and has all programs pinned.
// Its maps are those of the tests before it, which have left what they have left.
func loaded(t *testing.T, f func(*Session, *Dataplane)) {
	t.Helper()
	l := newLoader(t)
	write(t, l, func(s *Session) {
		c, err := loadOnce()
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.adopt(c, sharedFlows)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := pinPrograms(c.Programs, d.directory); err != nil {
			t.Fatal(err)
		}
		f(s, d)
	})
}

func inNamespace(t *testing.T, d *Dataplane, f func() error) {
	t.Helper()
	if err := d.namespace.Do(f); err != nil {
		t.Fatal(err)
	}
}

func TestAttachingTwiceAttachesOnce(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		for range 2 {
			hooks, err := d.Attach()
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hooks {
				if h.Missing {
					t.Errorf("%s of %q is missing: %s", h.Name, h.Device, h.Why)
				}
			}
		}
		inNamespace(t, d, func() error {
			a0, err := netlink.LinkByName("a0")
			if err != nil {
				return err
			}
			n, err := programsAt(a0.Attrs().Index)
			if err == nil && n != 1 {
				t.Errorf("a0 has %d programs at ingress, want 1", n)
			}
			return err
		})
	})
}

func TestAFilterIsMadeOnceAndItsQdiscGoesWithIt(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		inNamespace(t, d, func() error {
			devices, err := listDevices()
			if err != nil {
				return err
			}
			// On a0 a qdisc is there before us, on a1 it is not.
			if err := netlink.QdiscAdd(clsact(byName(t, devices, "a0").ifindex)); err != nil {
				return err
			}
			for _, name := range []string{"a0", "a1"} {
				device := byName(t, devices, name)
				for _, direction := range []direction{ingress, egress, ingress, egress} {
					if err := d.attachFilter(device, direction); err != nil {
						return err
					}
					if mode, _ := d.deviceHook(device, direction); mode != ModeClsact {
						t.Errorf("%s of %s is attached by %s, want %s", direction, name, mode, ModeClsact)
					}
				}
				filters, err := listFilters(device.ifindex, ingress)
				if err != nil || len(filters) != 1 {
					t.Errorf("%s has filters %v, error %v; want one", name, filters, err)
				}
			}
			return nil
		})
		if err := s.Unload(); err != nil {
			t.Fatal(err)
		}
		inNamespace(t, d, func() error {
			for name, want := range map[string]bool{"a0": true, "a1": false} {
				if got := hasClsact(t, name); got != want {
					t.Errorf("%s has a clsact qdisc: %t, want %t", name, got, want)
				}
			}
			return nil
		})
	})
}

func TestAQdiscThatAnotherUsesStays(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		program := programNamed(t, d, bpf.XfwdProgXfwdEgress)
		inNamespace(t, d, func() error {
			devices, err := listDevices()
			if err != nil {
				return err
			}
			device := byName(t, devices, "a0")
			if err := d.attachFilter(device, ingress); err != nil {
				return err
			}
			return netlink.FilterAdd(&netlink.BpfFilter{
				FilterAttrs: netlink.FilterAttrs{
					LinkIndex: device.ifindex,
					Parent:    egress.parent(),
					Handle:    1,
					Protocol:  unix.ETH_P_ALL,
					Priority:  99,
				},
				Fd:           program.FD(),
				Name:         "another",
				DirectAction: true,
			})
		})
		if err := s.Unload(); err != nil {
			t.Fatal(err)
		}
		inNamespace(t, d, func() error {
			a0, err := netlink.LinkByName("a0")
			if err != nil {
				return err
			}
			filters, err := listFilters(a0.Attrs().Index, egress)
			if err != nil || len(filters) != 1 {
				t.Errorf("the other's filter is gone: %v, %v", filters, err)
			}
			return nil
		})
	})
}

func TestAnUpgradeReplacesTheProgramsUnderTheirLinks(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		if _, err := d.Attach(); err != nil {
			t.Fatal(err)
		}
		before := programOf(t, d, "connect4")
		d.Settings.Build++
		if err := d.Upgrade(); err != nil {
			t.Fatal(err)
		}
		if d.Settings.Build != build() {
			t.Errorf("the build is %x after the upgrade, want %x", d.Settings.Build, build())
		}
		after := programOf(t, d, "connect4")
		pinned := programID(t, programNamed(t, d, bpf.XfwdProgXfwdConnect4))
		if after == before || after != pinned {
			t.Errorf("the link ran program %d and runs %d, pinned is %d", before, after, pinned)
		}
	})
}

func TestWhatBelongsToAnotherNamespaceIsNotLoaded(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		settings := d.Settings
		settings.NetNSCookie++
		if err := d.Maps.PutSettings(settings); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(); !errors.Is(err, ErrNotLoaded) {
			t.Errorf("opening it gives %v, want %v", err, ErrNotLoaded)
		}
		fresh, err := s.Load(1024)
		if err != nil {
			t.Fatal(err)
		}
		fresh.Close()
	})
}

func programOf(t *testing.T, d *Dataplane, link string) uint32 {
	t.Helper()
	l, err := d.pinnedLink(link)
	if err != nil || l == nil {
		t.Fatalf("link %s: %v, %v", link, l, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	return uint32(info.Program)
}

func byName(t *testing.T, devices []*device, name string) *device {
	t.Helper()
	for _, d := range devices {
		if d.name == name {
			return d
		}
	}
	t.Fatalf("there is no device %s", name)
	return nil
}

func hasClsact(t *testing.T, name string) bool {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	qdiscs, err := netlink.QdiscList(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			return true
		}
	}
	return false
}

// programsAt counts the programs at ingress of a device, as the kernel attaches
// them: by tcx, or before Linux 6.6 as filters.
func programsAt(ifindex int) (int, error) {
	result, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: ingress.tcx()})
	if err == nil {
		return len(result.Programs), nil
	}
	filters, err := listFilters(ifindex, ingress)
	return len(filters), err
}
