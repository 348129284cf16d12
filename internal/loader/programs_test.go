// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/bpf"
)

// everywhere are the programs that every host needs: those of plain devices and of sockets.
func everywhere() []string {
	names := []string{bpf.XfwdProgXfwdIngress, bpf.XfwdProgXfwdEgress}
	for _, s := range socketPlaces {
		names = append(names, s.program)
	}
	return names
}

// unpinPrograms removes the pins of programs, or all if none is named.
func unpinPrograms(t *testing.T, d *Dataplane, names ...string) {
	t.Helper()
	must(t, removePins(filepath.Join(d.directory, programPins), func(name string) bool {
		return len(names) == 0 || slices.Contains(names, name)
	}))
}

// mustHavePinned fails the test unless the programs that every host needs are pinned, and
// these, and no others.
func mustHavePinned(t *testing.T, d *Dataplane, more ...string) {
	t.Helper()
	pinned, err := d.pinnedPrograms()
	must(t, err)
	want := slices.Sorted(slices.Values(append(everywhere(), more...)))
	if !slices.Equal(pinned, want) {
		t.Errorf("pinned are %v, want %v", pinned, want)
	}
}

// pinnedIDs are the kernel's numbers of the programs that are pinned.
func pinnedIDs(t *testing.T, d *Dataplane) map[string]uint32 {
	t.Helper()
	fresh := openedAnew(t, d)
	names, err := fresh.pinnedPrograms()
	must(t, err)
	ids := make(map[string]uint32)
	for _, name := range names {
		ids[name] = programID(t, programNamed(t, fresh, name))
	}
	return ids
}

// openedAnew opens the dataplane as the next command does, which has not seen what this one
// has opened.
func openedAnew(t *testing.T, d *Dataplane) *Dataplane {
	t.Helper()
	fresh, err := openDataplane(d.namespace, d.directory)
	must(t, err)
	t.Cleanup(func() { fresh.Close() })
	return fresh
}

func addTUN(t *testing.T, d *Dataplane, name string) {
	t.Helper()
	inNamespace(t, d, func() error {
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TUN})
	})
}

// The kinds of devices and of hooks that a host does not have cost it no program, until
// they come. To list the hooks loads none.
func TestProgramsAreLoadedForTheHooksThatNeedThem(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		attach := func() {
			t.Helper()
			hooks, err := d.Attach()
			must(t, err)
			for _, h := range hooks {
				if h.Missing {
					t.Errorf("%s of %q is missing: %s", h.Name, h.Device, h.Why)
				}
			}
		}
		unpinPrograms(t, d)
		attach()
		mustHavePinned(t, d)
		more := []string{bpf.XfwdProgXfwdPort, bpf.XfwdProgXfwdPortEgress, bpf.XfwdProgXfwdBridgeEgress}
		addBridge(t, d, "br0", false, "a0")
		_, err := d.Hooks()
		must(t, err)
		mustHavePinned(t, d)
		attach()
		mustHavePinned(t, d, more...)
		addTUN(t, d, "tun0")
		attach()
		more = append(more, bpf.XfwdProgXfwdIngressRaw, bpf.XfwdProgXfwdEgressRaw)
		mustHavePinned(t, d, more...)
		finishChecksums(t, d)
		setXDPModes(t, d, "a1=native")
		attach()
		mustHavePinned(t, d, append(more, xdpProgram())...)
	})
}

// Who follows the host has opened no more than a part of the dataplane, and loads what
// devices need that have come.
func TestProgramsAreLoadedForDevicesThatAreFollowed(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		unpinPrograms(t, d)
		before := hostOf(t, d)
		_, err := d.AttachTo(before)
		must(t, err)
		must(t, d.Tell(before))
		addTUN(t, d, "tun0")
		addBridge(t, d, "br0", false, "a0")
		part, err := s.OpenPart(true)
		must(t, err)
		defer part.Close()
		hooks, err := part.FollowTo(before, hostOf(t, d), Change{})
		must(t, err)
		for _, device := range []string{"tun0", "br0", "a0"} {
			of := hooks[deviceNamed(t, d, device).ifindex]
			for _, direction := range []string{"ingress", "egress"} {
				if row := rowOf(t, of, device, direction); row.Mode == ModeNone {
					t.Errorf("%+v", row)
				}
			}
		}
		mustHavePinned(t, d, bpf.XfwdProgXfwdPort, bpf.XfwdProgXfwdPortEgress, bpf.XfwdProgXfwdBridgeEgress,
			bpf.XfwdProgXfwdIngressRaw, bpf.XfwdProgXfwdEgressRaw)
	})
}

func TestAPinThatSomebodyHasRemovedComesBack(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		_, err := d.Attach()
		must(t, err)
		lost := attachedTo(t, d, "a0", ingress)
		unpinPrograms(t, d, bpf.XfwdProgXfwdIngress)
		next := openedAnew(t, d)
		_, err = next.Attach()
		must(t, err)
		if now := attachedTo(t, d, "a0", ingress); now == lost || now != pinnedIDs(t, d)[bpf.XfwdProgXfwdIngress] {
			t.Errorf("a0 ran program %d and runs %d, pinned is %d", lost, now, pinnedIDs(t, d)[bpf.XfwdProgXfwdIngress])
		}
	})
}

// An upgrade replaces what is pinned, and loads no more than that. What this build has no
// hook for goes.
func TestAnUpgradeReplacesThePinnedPrograms(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		unpinPrograms(t, d)
		_, err := d.Attach()
		must(t, err)
		before := pinnedIDs(t, d)
		bygone, err := programNamed(t, d, bpf.XfwdProgXfwdEgress).Clone()
		must(t, err)
		defer bygone.Close()
		must(t, bygone.Pin(filepath.Join(d.directory, programPins, "xfwd_bygone")))
		must(t, d.putBuild(build()+1))
		must(t, d.Upgrade())
		mustHavePinned(t, d)
		for name, id := range pinnedIDs(t, d) {
			if id == before[name] {
				t.Errorf("%s is program %d as before", name, id)
			}
		}
	})
}

// Of an upgrade that was killed between two pins, no program is taken for one of the new
// build: the next one replaces them all, also beneath the hooks.
func TestAnUpgradeThatWasKilledIsRepeated(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		_, err := d.Attach()
		must(t, err)
		before := pinnedIDs(t, d)
		must(t, d.putBuild(noBuild))
		half, err := d.load([]string{bpf.XfwdProgXfwdIngress})
		must(t, err)
		must(t, d.adopt(half))
		next := openedAnew(t, d)
		must(t, next.Upgrade())
		after := pinnedIDs(t, d)
		for name, id := range after {
			if id == before[name] {
				t.Errorf("%s is program %d as before", name, id)
			}
		}
		for direction, name := range map[direction]string{ingress: bpf.XfwdProgXfwdIngress, egress: bpf.XfwdProgXfwdEgress} {
			if now := attachedTo(t, d, "a0", direction); now != after[name] {
				t.Errorf("%s of a0 runs program %d, pinned is %d", direction, now, after[name])
			}
		}
		if settings, err := d.Maps.Settings(); err != nil || settings.Build != build() {
			t.Errorf("the build is %x after the upgrade, want %x: %v", settings.Build, build(), err)
		}
	})
}

// A process that does not upgrade, as `xfwd serve`, attaches the programs of another build
// and adds none of its own to them.
func TestNoProgramIsLoadedBesideThoseOfAnotherBuild(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		unpinPrograms(t, d)
		_, err := d.Attach()
		must(t, err)
		must(t, d.putBuild(build()+1))
		before := pinnedIDs(t, d)
		addBridge(t, d, "br0", false, "a0")
		finishChecksums(t, d)
		setXDPModes(t, d, "a1=native")
		hooks, err := openedAnew(t, d).Attach()
		must(t, err)
		const why = "programs are those of another version of xfwd"
		for _, direction := range []string{"ingress", "egress"} {
			if row := rowOf(t, hooks, "a0", direction); row.Mode != ModeNone || !row.Missing || !strings.Contains(row.Why, why) {
				t.Errorf("%+v", row)
			}
		}
		if row := rowOf(t, hooks, "a1", xdpHookName); row.Mode != ModeNone || !row.Missing || !strings.Contains(row.Why, why) {
			t.Errorf("%+v", row)
		}
		// What is pinned is for any device that comes.
		if row := rowOf(t, hooks, "br0", "ingress"); row.Mode == ModeNone {
			t.Errorf("%+v", row)
		}
		if after := pinnedIDs(t, d); !maps.Equal(after, before) {
			t.Errorf("pinned are %v, before it was %v", after, before)
		}
	})
}

// Where the kernel does not take a program, nothing is attached, and none is pinned that
// was loaded beside it.
func TestAProgramThatIsNotTakenChangesNothing(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		unpinPrograms(t, d)
		spec, err := d.ownSpec()
		must(t, err)
		// It returns what it has never set.
		spec.Programs[bpf.XfwdProgXfwdConnect6].Instructions = asm.Instructions{asm.Return()}
		if _, err := d.Attach(); err == nil || !strings.Contains(err.Error(), "verifier does not accept") {
			t.Errorf("attaching gives %v", err)
		}
		for _, part := range []string{programPins, linkPins} {
			if pins, err := os.ReadDir(filepath.Join(d.directory, part)); err != nil || len(pins) > 0 {
				t.Errorf("pinned %s are %v, %v", part, pins, err)
			}
		}
	})
}
