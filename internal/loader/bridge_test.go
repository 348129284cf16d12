// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// addBridge makes a bridge of devices. Not every kernel has those that filter VLANs.
func addBridge(t *testing.T, d *Dataplane, name string, filtersVLANs bool, ports ...string) {
	t.Helper()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}}
	if filtersVLANs {
		bridge.VlanFiltering = &filtersVLANs
	}
	err := d.namespace.Do(func() error { return netlink.LinkAdd(bridge) })
	if errors.Is(err, unix.EOPNOTSUPP) && filtersVLANs && os.Getenv("XFWD_VM") == "" {
		t.Skip("bridges of this kernel do not filter VLANs; make test-vm tests them")
	}
	must(t, err)
	inNamespace(t, d, func() error {
		for _, port := range ports {
			l, err := netlink.LinkByName(port)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetMaster(l, bridge); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestPortsOfABridgeAreServedBeforeTheBridge(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		addBridge(t, d, "br0", false, "a0")
		for range 2 {
			hooks, err := d.Attach()
			must(t, err)
			in, out := rowOf(t, hooks, "a0", "ingress"), rowOf(t, hooks, "a0", "egress")
			if in.Mode == ModeNone || !strings.HasPrefix(in.Why, "port of br0: before the bridge's netfilter; ") {
				t.Errorf("ingress of the port: %+v", in)
			}
			if out.Mode == ModeNone || !strings.HasPrefix(out.Why, "port of br0: behind the bridge's netfilter; ") {
				t.Errorf("egress of the port: %+v", out)
			}
			for _, direction := range []string{"ingress", "egress"} {
				if row := rowOf(t, hooks, "br0", direction); row.Mode == ModeNone {
					t.Errorf("the bridge: %+v", row)
				}
			}
		}
		for _, c := range []struct {
			device    string
			direction direction
			want      string
		}{
			{"a0", ingress, bpf.XfwdProgXfwdPort},
			{"a0", egress, bpf.XfwdProgXfwdPortEgress},
			{"br0", ingress, bpf.XfwdProgXfwdIngress},
			{"br0", egress, bpf.XfwdProgXfwdBridgeEgress},
		} {
			if got, want := attachedTo(t, d, c.device, c.direction), programID(t, programNamed(t, d, c.want)); got != want {
				t.Errorf("%s of %s runs program %d, want %d", c.direction, c.device, got, want)
			}
		}
		must(t, d.Tell(hostOf(t, d)))
		bridge := uint32(deviceNamed(t, d, "br0").ifindex)
		for _, device := range []string{"a0", "br0"} {
			if got := factsOf(t, d, device); got.NetworkIfindex != bridge || got.Address != [6]byte{2, 0, 0, 0, 0, 9} {
				t.Errorf("of %s the programs know %+v", device, got)
			}
		}
	})
}

func TestPortsOfABridgeThatFiltersVLANsAreLeftToIt(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		addBridge(t, d, "br0", true, "a0")
		hooks, err := d.Attach()
		must(t, err)
		for _, direction := range []string{"ingress", "egress"} {
			row := rowOf(t, hooks, "a0", direction)
			if row.Mode != ModeNone || row.Missing || row.Why != "port of br0, which filters VLANs: served there" {
				t.Errorf("%s: %+v", direction, row)
			}
		}
		// Nothing at its ports would take a mark.
		if got, want := attachedTo(t, d, "br0", egress), programID(t, programNamed(t, d, bpf.XfwdProgXfwdEgress)); got != want {
			t.Errorf("egress of the bridge runs program %d, want %d", got, want)
		}
	})
}

// A program before the bridge would see frames that the bridge hands on to others.
// Who asks for one by name is told; who asks for all devices is not told of each port.
func TestPortsOfABridgeHaveNoXDP(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		addBridge(t, d, "br0", false, "a0")
		for _, test := range []struct {
			modes  string
			warned bool
		}{{"=native", false}, {"a0=native", true}} {
			setXDPModes(t, d, test.modes)
			row := xdpRow(t, d, "a0")
			if row.Mode != ModeNone || row.Missing != test.warned || row.Why != "tc alone: port of br0" {
				t.Errorf("%s: %+v", test.modes, row)
			}
			mustRun(t, d, "a0", ModeNone)
		}
	})
}

// A device that becomes a port, and one that is none any more, get another program.
func TestADeviceChangesItsProgramWithItsBridge(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		attachedProgram := func() uint32 {
			t.Helper()
			_, err := d.Attach()
			must(t, err)
			return attachedTo(t, d, "a0", ingress)
		}
		leaving := func(want string) {
			t.Helper()
			if got := attachedTo(t, d, "a0", egress); got != programID(t, programNamed(t, d, want)) {
				t.Errorf("at its egress there is program %d", got)
			}
		}
		plain := attachedProgram()
		addBridge(t, d, "br0", false, "a0")
		if port := attachedProgram(); port == plain || port != programID(t, programNamed(t, d, bpf.XfwdProgXfwdPort)) {
			t.Errorf("as a port it runs program %d, before it was %d", port, plain)
		}
		leaving(bpf.XfwdProgXfwdPortEgress)
		inNamespace(t, d, func() error {
			l, err := netlink.LinkByName("a0")
			if err != nil {
				return err
			}
			return netlink.LinkSetNoMaster(l)
		})
		if again := attachedProgram(); again != plain {
			t.Errorf("on its own it runs program %d, before it was %d", again, plain)
		}
		leaving(bpf.XfwdProgXfwdEgress)
	})
}

// attachedTo returns the program of ours that one direction of a device runs, or 0.
func attachedTo(t *testing.T, d *Dataplane, name string, direction direction) uint32 {
	t.Helper()
	device := deviceNamed(t, d, name)
	l, err := d.pinnedLink(linkName(device, direction))
	must(t, err)
	if l != nil {
		l.Close()
		return programOf(t, d, linkName(device, direction))
	}
	program := 0
	inNamespace(t, d, func() error {
		// Without a qdisc for them there are none, which is an error.
		filters, _ := listFilters(device.ifindex, direction)
		for _, f := range filters {
			if isOurs(f) {
				program = f.(*netlink.BpfFilter).Id
			}
		}
		return nil
	})
	return uint32(program)
}
