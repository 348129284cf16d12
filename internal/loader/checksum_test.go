// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// offloadChecksums says whether devices of the current namespace leave checksums to those that
// receive from them, as new ones of a pair do.
func offloadChecksums(on bool, devices ...string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, device := range devices {
		offload := struct{ command, value uint32 }{command: unix.ETHTOOL_STXCSUM}
		if on {
			offload.value = 1
		}
		if err := ethtool(fd, device, unsafe.Pointer(&offload)); err != nil {
			return err
		}
	}
	return nil
}

// finishChecksums has both ends of the pair finish checksums, without which neither end has XDP.
func finishChecksums(t *testing.T, d *Dataplane) {
	t.Helper()
	inNamespace(t, d, func() error { return offloadChecksums(false, "a0", "a1") })
}

// A pair as it is made has no XDP: its ends leave checksums to each other. Status names the
// command that ends it, and what was attached goes when that is undone.
func TestNoXDPWhereChecksumsAreNotFinished(t *testing.T) {
	for name, elsewhere := range map[string]bool{"here": false, "in another namespace": true} {
		t.Run(name, func(t *testing.T) {
			loaded(t, func(_ *Session, d *Dataplane) {
				other, command := d.namespace, "`ethtool -K a1 tx off`"
				if elsewhere {
					other = moveToAnother(t, d, "a1")
					command = "`nsenter --net=" + other.file.Name() + " ethtool -K a1 tx off`"
				}
				const begins = "tc alone: its other end leaves checksums to it, which XDP cannot finish: "
				mustRefuse := func(ends string) {
					t.Helper()
					if row := xdpRow(t, d, "a0"); row.Mode != ModeNone || !row.Missing || row.Why != begins+command+ends {
						t.Errorf("%+v, want the reason %q", row, begins+command+ends)
					}
				}
				setXDPModes(t, d, "=native")
				mustRefuse("")
				mustRun(t, d, "a0", ModeNone)
				setXDPModes(t, d, "=auto", "a0=native")
				mustRefuse("")

				must(t, other.Do(func() error { return offloadChecksums(false, "a1") }))
				if row := xdpRow(t, d, "a0"); row.Mode != ModeNative || row.Missing {
					t.Errorf("with finished checksums: %+v", row)
				}
				mustRun(t, d, "a0", ModeNative)

				must(t, other.Do(func() error { return offloadChecksums(true, "a1") }))
				hooks, err := d.Hooks()
				must(t, err)
				row := rowOf(t, hooks, "a0", xdpHookName)
				if row.Mode != ModeNone || !row.Missing || row.Why != begins+command+", and XDP serves it still; any `xfwd add` ends that" {
					t.Errorf("before a command: %+v", row)
				}
				mustRun(t, d, "a0", ModeNative)
				mustRefuse("")
				mustRun(t, d, "a0", ModeNone)
			})
		})
	}
}

// Where the other end cannot be asked, XDP would be a guess. Who sees less than the command
// that has asked believes what that has attached.
func TestNoXDPWhereTheOtherEndCannotBeAsked(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		other := moveToAnother(t, d, "a1")
		device := deviceNamed(t, d, "a0")
		c := checksums{namespaces: func() map[int]string { return nil }}
		for _, on := range []bool{true, false} {
			must(t, other.Do(func() error { return offloadChecksums(on, "a1") }))
			inNamespace(t, d, func() error {
				why, unseen := c.whyUnfinished(device)
				if !unseen || !strings.Contains(why, "cannot be asked") || !strings.Contains(why, "--xdp a0=auto") {
					t.Errorf("offload %t: %q, %t", on, why, unseen)
				}
				return nil
			})
		}
		policy := xdpPolicy{used: true, modes: map[string]XDPMode{"a0": XDPNative}, checksums: c}
		for _, attached := range []bool{false, true} {
			want := ModeNone
			if attached {
				setXDPModes(t, d, "a0=native")
				xdpRow(t, d, "a0")
				want = ModeNative
			}
			inNamespace(t, d, func() error {
				if got := d.decideFor(policy, device); got.mode != want || !got.explicit {
					t.Errorf("attached: %t: %+v, want mode %s", attached, got, want)
				}
				return nil
			})
		}
	})
}

// A bond sends through the drivers of its ports, and is as they are.
func TestNoXDPOnABondOfSuchDevices(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		pair := deviceNamed(t, d, "a0")
		bond := &device{name: "bond0", ifindex: 1000, kind: "bond"}
		pair.master = bond
		why := func() (why string) {
			inNamespace(t, d, func() error {
				why, _ = checksums{devices: []*device{bond, pair}}.whyUnfinished(bond)
				return nil
			})
			return why
		}
		if got := why(); !strings.Contains(got, "`ethtool -K a1 tx off`") {
			t.Errorf("with an end of a pair as its port: %q", got)
		}
		finishChecksums(t, d)
		if got := why(); got != "" {
			t.Errorf("with an end of a pair that gets finished checksums: %q", got)
		}
	})
}

func TestNoXDPOnACardOfAVirtualMachine(t *testing.T) {
	p := xdpPolicy{used: true, modes: map[string]XDPMode{"": XDPNative}}
	for _, machine := range []bool{true, false} {
		got := p.decide(&device{name: "tap0", kind: "tun", machine: machine})
		if want := map[bool]string{true: ModeNone, false: ModeNative}[machine]; got.mode != want || !got.explicit {
			t.Errorf("of a virtual machine: %t: %+v", machine, got)
		}
	}
}

// Namespaces are found by their names and, where they have none, by a process in them.
func TestNamespaceFiles(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		other := moveToAnother(t, d, "a1")
		number := deviceNamed(t, d, "a0").otherNamespace
		inNamespace(t, d, func() error {
			if got := namespaceFiles()[number]; got != other.file.Name() {
				t.Errorf("namespace %d is %q, want %q", number, got, other.file.Name())
			}
			return nil
		})
		files, seen := map[int]string{}, map[uint64]bool{}
		inNamespace(t, d, func() error {
			none := filepath.Join(t.TempDir(), "none")
			must(t, os.WriteFile(none, nil, 0o600))
			for _, path := range []string{none, none + "gone", "/proc/self/ns/net", other.file.Name(), other.file.Name()} {
				addNamespaceFile(files, seen, path)
			}
			return nil
		})
		if files[number] != other.file.Name() {
			t.Errorf("found %v, want namespace %d as %q", files, number, other.file.Name())
		}
	})
}

// moveToAnother moves a device to a new namespace, which it returns.
func moveToAnother(t *testing.T, d *Dataplane, device string) *Namespace {
	t.Helper()
	other, err := OpenNamespace(lab.New(t).Namespace("other").Name)
	must(t, err)
	t.Cleanup(func() { other.Close() })
	inNamespace(t, d, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(l, int(other.file.Fd()))
	})
	return other
}
