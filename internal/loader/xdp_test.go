// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/bpf"
)

// xdpRow attaches and returns the XDP hook of a device, which must be the same
// when it is asked for later.
func xdpRow(t *testing.T, d *Dataplane, device string) Hook {
	t.Helper()
	attached, err := d.Attach()
	must(t, err)
	found, err := d.Hooks()
	must(t, err)
	row, later := rowOf(t, attached, device, xdpHookName), rowOf(t, found, device, xdpHookName)
	if row != later {
		t.Errorf("attached %+v, later it is %+v", row, later)
	}
	return row
}

func rowOf(t *testing.T, hooks []Hook, device, name string) Hook {
	t.Helper()
	i := slices.IndexFunc(hooks, func(h Hook) bool { return h.Device == device && h.Name == name })
	if i < 0 {
		t.Fatalf("there is no hook %s of %s", name, device)
	}
	return hooks[i]
}

// xdpOf returns the mode and the program id of a device as the kernel says.
func xdpOf(t *testing.T, d *Dataplane, device string) (mode string, program uint32) {
	t.Helper()
	inNamespace(t, d, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		// enum of <linux/if_link.h>: XDP_ATTACHED_NONE and so on.
		xdp := l.Attrs().Xdp
		mode, program = [...]string{ModeNone, ModeNative, "generic"}[xdp.AttachMode], xdp.ProgId
		return nil
	})
	return mode, program
}

func mustRun(t *testing.T, d *Dataplane, device, mode string) {
	t.Helper()
	got, program := xdpOf(t, d, device)
	if got != mode {
		t.Errorf("%s has XDP in mode %s, want %s", device, got, mode)
	}
	if mode == ModeNone {
		return
	}
	if ours := programID(t, programNamed(t, d, xdpProgram())); program != ours {
		t.Errorf("%s runs program %d, want %d", device, program, ours)
	}
}

func programNamed(t *testing.T, d *Dataplane, name string) *ebpf.Program {
	t.Helper()
	p, err := d.program(name)
	must(t, err)
	return p
}

func programID(t *testing.T, p *ebpf.Program) uint32 {
	t.Helper()
	info, err := p.Info()
	must(t, err)
	id, _ := info.ID()
	return uint32(id)
}

// xdpFacts returns what the programs know: whether XDP may send through a device,
// and whether they think so.
func xdpFacts(t *testing.T, d *Dataplane, device string) (sends, told bool) {
	t.Helper()
	ifindex := uint32(deviceNamed(t, d, device).ifindex)
	pinned, err := openMaps(d.directory)
	must(t, err)
	defer pinned.Close()
	var value uint32
	sends = pinned.XdpDevices.Lookup(ifindex, &value) == nil
	return sends, factsOf(t, d, device).Flags&uint16(bpf.XfwdDeviceFlagDEVICE_XDP) != 0
}

// factsOf returns what the programs know of a device.
func factsOf(t *testing.T, d *Dataplane, device string) bpf.XfwdDevice {
	t.Helper()
	pinned, err := openMaps(d.directory)
	must(t, err)
	defer pinned.Close()
	var facts bpf.XfwdDevice
	must(t, pinned.Devices.Lookup(uint32(deviceNamed(t, d, device).ifindex), &facts))
	return facts
}

func deviceNamed(t *testing.T, d *Dataplane, name string) (found *device) {
	t.Helper()
	inNamespace(t, d, func() error {
		devices, err := listDevices()
		found = byName(t, devices, name)
		return err
	})
	return found
}

// setXDPModes has Attach know of backends elsewhere and of the modes in words
// like a0=native.
func setXDPModes(t *testing.T, d *Dataplane, words ...string) {
	t.Helper()
	must(t, d.UseXDP())
	modes := make(map[string]XDPMode)
	for _, word := range words {
		name, mode, _ := strings.Cut(word, "=")
		modes[name] = XDPMode(mode)
	}
	must(t, d.SetXDP(modes))
}

func TestXDPWaitsForABackendElsewhere(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		finishChecksums(t, d)
		must(t, d.SetXDP(map[string]XDPMode{"a0": XDPNative}))
		if row := xdpRow(t, d, "a0"); row.Mode != ModeNone || row.Missing {
			t.Errorf("before it is needed: %+v", row)
		}
		mustRun(t, d, "a0", ModeNone)
		must(t, d.UseXDP())
		if row := xdpRow(t, d, "a0"); row.Mode != ModeNative || row.Missing {
			t.Errorf("when it is needed: %+v", row)
		}
		mustRun(t, d, "a0", ModeNative)
		mustRun(t, d, "a1", ModeNone)
	})
}

func TestXDPIsLeftToTCOnAVeth(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		setXDPModes(t, d)
		row := xdpRow(t, d, "a0")
		if row.Mode != ModeNone || row.Missing || row.Why != "tc alone: as fast or faster on a veth device" {
			t.Errorf("%+v", row)
		}
		mustRun(t, d, "a0", ModeNone)
	})
}

func TestXDPModesAreRememberedAndMerged(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		must(t, d.SetXDP(map[string]XDPMode{"": XDPGeneric, "a=b.1": XDPNative}))
		must(t, d.SetXDP(map[string]XDPMode{"": XDPOff, "c": XDPAuto}))
		got, err := d.XDP()
		must(t, err)
		if want := (map[string]XDPMode{"": XDPOff, "a=b.1": XDPNative, "c": XDPAuto}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("remembered are %v, want %v", got, want)
		}
		p := xdpPolicy{modes: got, used: true}
		for name, want := range map[string]string{"a=b.1": ModeNative, "other": ModeNone} {
			if decision := p.decide(&device{name: name, kind: "macvlan"}); decision.mode != want {
				t.Errorf("%s gets %+v, want %s", name, decision, want)
			}
		}
	})
}

// Each step changes what is attached and what the programs know of it.
func TestXDPModesTakeEffect(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		finishChecksums(t, d)
		for _, mode := range []string{"native", "generic", "native", "off", "native", "auto", "generic", "off"} {
			setXDPModes(t, d, "a0="+mode, "a1=native")
			want := mode
			if mode != "native" {
				want = ModeNone
			}
			if row := xdpRow(t, d, "a0"); row.Mode != want || row.Missing != (mode == "generic") {
				t.Errorf("mode %s: %+v", mode, row)
			}
			mustRun(t, d, "a0", want)
			must(t, d.Tell(hostOf(t, d)))
			if sends, told := xdpFacts(t, d, "a0"); sends != (want == ModeNative) || told != sends {
				t.Errorf("mode %s: XDP may send: %t, the programs think so: %t", mode, sends, told)
			}
		}
	})
}

// What a driver has no program for any more it must not be sent, from before the
// program goes.
func TestNextHopsEndBeforeAnXDPProgramGoes(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		finishChecksums(t, d)
		setXDPModes(t, d, "a0=native", "a1=native")
		xdpRow(t, d, "a0")
		must(t, d.Tell(hostOf(t, d)))
		before := d.Settings.RouteGeneration
		setXDPModes(t, d, "a0=off")
		xdpRow(t, d, "a0")
		settings, err := d.Maps.Settings()
		must(t, err)
		if settings.RouteGeneration <= before {
			t.Errorf("the generation of routes is %d as before", settings.RouteGeneration)
		}
		if sends, told := xdpFacts(t, d, "a0"); sends || told {
			t.Errorf("XDP may send: %t, the programs think so: %t", sends, told)
		}
	})
}

// A veth drops what XDP sends to it unless its other end has a program, too,
// wherever that is.
func TestXDPIsSentToAVethWhoseOtherEndTakesIt(t *testing.T) {
	for name, elsewhere := range map[string]bool{"here": false, "in another namespace": true} {
		t.Run(name, func(t *testing.T) {
			loaded(t, func(_ *Session, d *Dataplane) {
				other := d.namespace
				finishChecksums(t, d)
				if elsewhere {
					other = moveToAnother(t, d, "a1")
				}
				setXDPModes(t, d, "a0=native")
				if row := xdpRow(t, d, "a0"); row.Mode != ModeNative || !strings.Contains(row.Why, "nothing is sent by it") {
					t.Errorf("without a program there: %+v", row)
				}
				must(t, d.Tell(hostOf(t, d)))
				mustRun(t, d, "a0", ModeNative)
				if sends, told := xdpFacts(t, d, "a0"); sends || told {
					t.Errorf("without a program there, XDP may send: %t, the programs think so: %t", sends, told)
				}
				program := programNamed(t, d, xdpProgram())
				var theirs link.Link
				must(t, other.Do(func() error {
					l, err := netlink.LinkByName("a1")
					if err != nil {
						return err
					}
					theirs, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: l.Attrs().Index, Flags: link.XDPDriverMode})
					return err
				}))
				defer theirs.Close()
				if row := xdpRow(t, d, "a0"); row.Mode != ModeNative || row.Why != "--xdp native" {
					t.Errorf("with a program there: %+v", row)
				}
				must(t, d.Tell(hostOf(t, d)))
				if sends, told := xdpFacts(t, d, "a0"); !sends || !told {
					t.Errorf("with a program there, XDP may send: %t, the programs think so: %t", sends, told)
				}
			})
		})
	}
}

func TestAnOccupiedXDPHookIsLeftToItsOwner(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		finishChecksums(t, d)
		owner, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name:         "someone_else",
			Type:         ebpf.XDP,
			License:      "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
		})
		must(t, err)
		defer owner.Close()
		ifindex := deviceNamed(t, d, "a0").ifindex
		var occupied link.Link
		inNamespace(t, d, func() error {
			occupied, err = link.AttachXDP(link.XDPOptions{Program: owner, Interface: ifindex, Flags: link.XDPDriverMode})
			return err
		})
		setXDPModes(t, d, "a0=native")
		row := xdpRow(t, d, "a0")
		want := fmt.Sprintf("tc alone: the XDP hook is taken by someone_else (program id %d)", programID(t, owner))
		if row.Mode != ModeNone || !row.Missing || row.Why != want {
			t.Errorf("%+v, want the reason %q", row, want)
		}
		if _, program := xdpOf(t, d, "a0"); program != programID(t, owner) {
			t.Errorf("a0 runs program %d, the owner's is %d", program, programID(t, owner))
		}
		// When it has gone, the next command takes its place.
		must(t, occupied.Detach())
		occupied.Close()
		if row := xdpRow(t, d, "a0"); row.Mode != ModeNative || row.Missing {
			t.Errorf("of the free hook: %+v", row)
		}
		mustRun(t, d, "a0", ModeNative)
	})
}

func TestADriverWithoutXDPSaysSo(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		inNamespace(t, d, func() error {
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})
		})
		setXDPModes(t, d, "br0=native")
		row := xdpRow(t, d, "br0")
		if row.Mode != ModeNone || !row.Missing || !strings.HasPrefix(row.Why, "tc alone: the driver bridge refuses native XDP: ") ||
			!strings.Contains(row.Why, "not support") {
			t.Errorf("%+v", row)
		}
		mustRun(t, d, "br0", ModeNone)
	})
}

// Frames that need more than one buffer take a program that knows of that.
func TestXDPOnLargeFrames(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		finishChecksums(t, d)
		inNamespace(t, d, func() error {
			for _, name := range []string{"a0", "a1"} {
				l, err := netlink.LinkByName(name)
				if err != nil {
					return err
				}
				if err := netlink.LinkSetMTU(l, 9000); err != nil {
					return err
				}
			}
			return nil
		})
		setXDPModes(t, d, "a0=native")
		row := xdpRow(t, d, "a0")
		if xdpProgram() == bpf.XfwdProgXfwdXdpFrags {
			if row.Mode != ModeNative {
				t.Errorf("%+v", row)
			}
			return
		}
		if row.Mode != ModeNone || !row.Missing || !strings.Contains(row.Why, "MTU is 9000") {
			t.Errorf("without such a program: %+v", row)
		}
	})
}

func TestAnUpgradeReplacesTheXDPProgramUnderItsLink(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		finishChecksums(t, d)
		setXDPModes(t, d, "a0=native")
		xdpRow(t, d, "a0")
		_, before := xdpOf(t, d, "a0")
		link := xdpLink(deviceNamed(t, d, "a0").ifindex)
		linkBefore := linkID(t, d, link.name())
		d.Settings.Build++
		must(t, d.Upgrade())
		mustRun(t, d, "a0", ModeNative)
		if _, after := xdpOf(t, d, "a0"); after == before {
			t.Errorf("a0 still runs program %d", before)
		}
		if linkAfter := linkID(t, d, link.name()); linkAfter != linkBefore {
			t.Errorf("link %d has become %d: the device was without a program", linkBefore, linkAfter)
		}
	})
}

func linkID(t *testing.T, d *Dataplane, name string) link.ID {
	t.Helper()
	l, err := d.pinnedLink(name)
	if err != nil || l == nil {
		t.Fatalf("link %s: %v, %v", name, l, err)
	}
	defer l.Close()
	info, err := l.Info()
	must(t, err)
	return info.ID
}

// A device that goes takes its link with it; another one that gets its number is
// attached anew.
func TestXDPOfADeviceThatIsMadeAgain(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		finishChecksums(t, d)
		setXDPModes(t, d, "a0=native", "a1=native")
		xdpRow(t, d, "a0")
		must(t, d.Tell(hostOf(t, d)))
		ifindex := deviceNamed(t, d, "a0").ifindex
		inNamespace(t, d, func() error {
			l, err := netlink.LinkByName("a0")
			if err != nil {
				return err
			}
			if err := netlink.LinkDel(l); err != nil {
				return err
			}
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a0", Index: ifindex}, PeerName: "a1"})
		})
		finishChecksums(t, d)
		hooks, err := d.Hooks()
		must(t, err)
		if row := rowOf(t, hooks, "a0", xdpHookName); row.Mode != ModeNone || row.Why != whyNotAttached {
			t.Errorf("of the new device: %+v", row)
		}
		if row := xdpRow(t, d, "a0"); row.Mode != ModeNative {
			t.Errorf("attached anew: %+v", row)
		}
		mustRun(t, d, "a0", ModeNative)
		must(t, d.Tell(hostOf(t, d)))
		if sends, told := xdpFacts(t, d, "a0"); !sends || !told {
			t.Errorf("XDP may send: %t, the programs think so: %t", sends, told)
		}
	})
}

func TestUnloadTakesXDPOutOfTheDrivers(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		finishChecksums(t, d)
		setXDPModes(t, d, "a0=native", "a1=native")
		xdpRow(t, d, "a0")
		mustRun(t, d, "a1", ModeNative)
		must(t, s.Unload())
		mustRun(t, d, "a0", ModeNone)
		mustRun(t, d, "a1", ModeNone)
	})
}

func hostOf(t *testing.T, d *Dataplane) *Host {
	t.Helper()
	l := Loader{namespace: d.namespace}
	h, err := l.Host()
	must(t, err)
	return h
}
