// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
)

// podMTU is what pod0 takes; the others take 1500 bytes.
const podMTU = 1400

// meet makes the host know its neighbours, for good, and whom it cannot reach.
func (w *world) meet(tb lab.TB) {
	tb.Helper()
	for _, x := range []*exit{toRouter, toBeside, toRemote, toBesideRemote, toPod, toBesidePod} {
		for _, f := range bothFamilies {
			err := w.host.Links().NeighSet(&netlink.Neigh{
				LinkIndex: w.devices[x.device].index, State: netlink.NUD_PERMANENT,
				IP: x.next.address(f).AsSlice(), HardwareAddr: x.next.mac(),
			})
			if err != nil {
				tb.Fatalf("neighbour %v on %s: %v", x.next.address(f), x.device, err)
			}
		}
	}
	for m, kind := range map[machine]int{nowhere: unix.RTN_UNREACHABLE, blackhole: unix.RTN_BLACKHOLE} {
		for _, f := range bothFamilies {
			a := m.address(f)
			to := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
			if err := w.host.Links().RouteAdd(&netlink.Route{Dst: to, Type: kind}); err != nil {
				tb.Fatalf("route to %v: %v", a, err)
			}
		}
	}
	// The kernel takes test frames for XDP only as received by a device that has some.
	none := nullXDP(tb)
	for _, name := range hardware {
		var l link.Link
		var err error
		w.host.Do(func() {
			l, err = link.AttachXDP(link.XDPOptions{Program: none, Interface: w.devices[name].index, Flags: link.XDPDriverMode})
		})
		if err != nil {
			tb.Fatalf("XDP on %s: %v", name, err)
		}
		tb.Cleanup(func() { l.Close() })
	}
}

// hardware are the devices that stand for physical ones.
var hardware = []string{"eth0", "eth1"}

// What the devices stand for: those of hardware lead to no other namespace, and
// have our XDP program; pod0 is one of a pair.
const (
	flagsOfHardware = uint16(bpf.XfwdDeviceFlagDEVICE_ETHERNET | bpf.XfwdDeviceFlagDEVICE_XDP)
	flagsOfPair     = uint16(bpf.XfwdDeviceFlagDEVICE_ETHERNET | bpf.XfwdDeviceFlagDEVICE_PEER)
)

// embody tells the programs what the devices stand for. The next change tells
// them the truth again.
func (w *world) embody(tb lab.TB) {
	tb.Helper()
	w.flag(tb, "pod0", flagsOfPair)
	for _, name := range hardware {
		ifindex := w.flag(tb, name, flagsOfHardware)
		w.host.Do(func() {
			if err := w.maps.XdpDevices.Put(ifindex, ifindex); err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
		})
	}
}

// flag gives a device DEVICE_* flags.
func (w *world) flag(tb lab.TB, name string, flags uint16) (ifindex uint32) {
	tb.Helper()
	ifindex = uint32(w.devices[name].index)
	var d bpf.XfwdDevice
	if err := w.maps.Devices.Lookup(ifindex, &d); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	const routesAll = uint16(bpf.XfwdDeviceFlagDEVICE_ROUTES_ALL4 | bpf.XfwdDeviceFlagDEVICE_ROUTES_ALL6)
	flags |= d.Flags & routesAll
	if w.certain {
		flags |= routesAll
	}
	switch w.filters[name] {
	case xfwd.FilterStrictly:
		flags |= uint16(bpf.XfwdDeviceFlagDEVICE_SOURCE_THERE4)
	case xfwd.FilterLoosely:
		flags |= uint16(bpf.XfwdDeviceFlagDEVICE_SOURCE_ROUTED4)
	}
	d.Flags, d.Address = flags, [6]uint8(w.devices[name].mac)
	if err := w.maps.Devices.Update(ifindex, d, ebpf.UpdateExist); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return ifindex
}
