// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/internal/maps"
)

// Devices are found by each of their names, and recognised after they were renamed, but not
// when another device has their number.
func TestDevices(t *testing.T) {
	l := newLoader(t)
	network(t, l, "veth v0", "tap t0", "bridge br0 a1")
	within := func(f func() error) { must(t, l.namespace.Do(f)) }
	link := func(name string) netlink.Link {
		found, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	var index int
	within(func() error {
		index = link("v0").Attrs().Index
		return netlink.LinkAddAltName(link("v0"), "other")
	})
	look := func() *Devices {
		d, err := l.Devices()
		must(t, err)
		return d
	}
	d := look()
	for _, name := range []string{"v0", "other"} {
		if got, found := d.Ifindex(name); !found || got != index {
			t.Errorf("%s is %d, want %d", name, got, index)
		}
	}
	if main, found := d.Name("other"); !found || main != "v0" {
		t.Errorf("other is a name of %q", main)
	}
	if got := d.Beginning("v0"); len(got) != 2 { // and its other end
		t.Errorf("%v begin with v0", got)
	}
	if got := d.Beginning("a"); len(got) != 1 { // a1 is the port of a bridge
		t.Errorf("%v begin with a", got)
	}
	known := d.Know("other")
	if known.Ifindex != uint32(index) || d.Know("v1") != (maps.KnownDevice{}) {
		t.Errorf("v0 is known as %v, v1 as %v", known, d.Know("v1"))
	}
	for _, step := range []struct {
		change     func() error
		recognised string
	}{
		{func() error {
			// Linux before 6.3 renames no device that is up.
			if err := netlink.LinkSetDown(link("v0")); err != nil {
				return err
			}
			return netlink.LinkSetName(link("v0"), "w0")
		}, "w0"},
		{func() error { return netlink.LinkSetHardwareAddr(link("w0"), net.HardwareAddr{2, 0, 0, 0, 0, 1}) }, ""},
		{func() error { return netlink.LinkDel(link("w0")) }, ""},
		{func() error {
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "b0", Index: index, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}})
		}, ""},
	} {
		within(step.change)
		if name, found := look().Recognise(known); name != step.recognised || found != (name != "") {
			t.Errorf("recognised as %q, want %q", name, step.recognised)
		}
	}
	if _, found := look().Recognise(maps.KnownDevice{}); found {
		t.Error("no device is recognised")
	}
	if slices.ContainsFunc(d.devices, func(d *device) bool { return d.ifindex == 0 }) {
		t.Error("a device has no number")
	}
}
