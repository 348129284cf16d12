// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

type direction int

const (
	ingress direction = iota
	egress
)

func (d direction) String() string {
	return [...]string{"ingress", "egress"}[d]
}

func (d direction) tcx() ebpf.AttachType {
	return [...]ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}[d]
}

func (d direction) parent() uint32 {
	return [...]uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS}[d]
}

// We come first: a program or filter before us that says "accept" would end the
// matter, and leave a flow with one direction translated and not the other. What
// comes after us runs in any case.
//
// A clsact filter is known as ours by its handle, which nobody else has by
// chance: "xfwd" in ASCII.
const (
	filterHandle   = 0x78667764
	filterPriority = 1
	filterName     = "xfwd"
)

const (
	viaTCX    = "tcx link"
	viaClsact = "the kernel has no tcx (Linux 6.6)"
)

// whyAttached says why a program is where it is, and so by what.
func whyAttached(device *device, direction direction, by string) string {
	if device.bridgePort() {
		place := [...]string{"before", "behind"}[direction]
		return "port of " + device.master.name + ": " + place + " the bridge's netfilter; " + by
	}
	return "tc after GRO; " + by
}

// tcProgram names the program for one direction of a device.
func tcProgram(device *device, direction direction) string {
	switch {
	case device.bridgePort():
		return [...]string{bpf.XfwdProgXfwdPort, bpf.XfwdProgXfwdPortEgress}[direction]
	case device.servesAtPorts() && direction == egress:
		return bpf.XfwdProgXfwdBridgeEgress
	case device.layer == raw:
		return [...]string{bpf.XfwdProgXfwdIngressRaw, bpf.XfwdProgXfwdEgressRaw}[direction]
	}
	return [...]string{bpf.XfwdProgXfwdIngress, bpf.XfwdProgXfwdEgress}[direction]
}

func linkName(device *device, direction direction) string {
	return fmt.Sprintf("%d-%s", device.ifindex, direction)
}

// isTCLink says whether a pin has a name that linkName gives.
func isTCLink(name string) bool {
	return strings.HasSuffix(name, "-"+ingress.String()) || strings.HasSuffix(name, "-"+egress.String())
}

// attachDevice attaches to one direction of a device, by tcx where the kernel
// has it. It returns the mode and why it is that.
func (d *Dataplane) attachDevice(device *device, direction direction) (mode, why string, err error) {
	err = d.attachTCX(device, direction)
	if err == nil {
		return ModeTCX, whyAttached(device, direction, viaTCX), nil
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return ModeNone, "", err
	}
	if err := d.attachFilter(device, direction); err != nil {
		return ModeNone, "", err
	}
	return ModeClsact, whyAttached(device, direction, viaClsact), nil
}

func (d *Dataplane) attachTCX(device *device, direction direction) error {
	name := linkName(device, direction)
	program, err := d.program(tcProgram(device, direction))
	if err != nil {
		return err
	}
	info, found, err := d.pinnedInfo(name)
	switch {
	case err != nil:
		return err
	case found && int(info.target) == device.ifindex && d.runs(info, program):
		return nil
	case found && int(info.target) == device.ifindex:
		return explain("update the program on "+device.name, d.updatePinned(name, program))
	case found:
		// The device has gone, and another has got its number.
		if err := os.Remove(d.linkPath(name)); err != nil {
			return explain("unpin the link "+name, err)
		}
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: device.ifindex,
		Program:   program,
		Attach:    direction.tcx(),
		Anchor:    link.Head(),
	})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	if err != nil {
		return explain(fmt.Sprintf("attach to %s of %s", direction, device.name), err)
	}
	return d.pinNew(l, name)
}

// deviceHook tells how one direction of a device is attached.
func (d *Dataplane) deviceHook(device *device, direction direction) (mode, why string) {
	if info, found, err := d.pinnedInfo(linkName(device, direction)); err == nil && found && int(info.target) == device.ifindex {
		return ModeTCX, whyAttached(device, direction, viaTCX)
	}
	if found, _ := findFilter(device.ifindex, direction); found {
		return ModeClsact, whyAttached(device, direction, viaClsact)
	}
	return ModeNone, whyNotAttached
}

// attachFilter makes or updates our filter, and the clsact qdisc that it needs.
// That we have made the qdisc is noted.
func (d *Dataplane) attachFilter(device *device, direction direction) error {
	program, err := d.program(tcProgram(device, direction))
	if err != nil {
		return err
	}
	doing := fmt.Sprintf("attach to %s of %s", direction, device.name)
	err = netlink.QdiscAdd(clsact(device.ifindex))
	if err == nil {
		err = d.notes().write(qdiscNote(device.ifindex), "made by xfwd")
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return explain(doing, err)
	}
	return explain(doing, netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: device.ifindex,
			Parent:    direction.parent(),
			Handle:    filterHandle,
			Protocol:  unix.ETH_P_ALL,
			Priority:  filterPriority,
		},
		Fd:           program.FD(),
		Name:         filterName,
		DirectAction: true,
	}))
}

func isOurs(f netlink.Filter) bool {
	return f.Attrs().Handle == filterHandle && f.Type() == "bpf"
}

func findFilter(ifindex int, direction direction) (bool, error) {
	filters, err := listFilters(ifindex, direction)
	for _, f := range filters {
		if isOurs(f) {
			return true, nil
		}
	}
	return false, err
}

func listFilters(ifindex int, direction direction) ([]netlink.Filter, error) {
	return netlink.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, direction.parent())
}

func clsact(ifindex int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
}

func qdiscNote(ifindex int) string {
	return fmt.Sprintf("%d-qdisc", ifindex)
}

// forgetFilters removes our filters from where they should not be any more: from
// devices that have become ports.
func forgetFilters(devices []*device) error {
	for _, device := range devices {
		for _, direction := range []direction{ingress, egress} {
			if device.skip == "" {
				continue
			}
			if _, err := removeFilter(device, direction); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeFilter removes our filter from one direction of a device, and returns how
// many there are of others.
func removeFilter(device *device, direction direction) (others int, err error) {
	filters, err := listFilters(device.ifindex, direction)
	if err != nil {
		// No clsact qdisc, no filters.
		return 0, nil
	}
	for _, f := range filters {
		if !isOurs(f) {
			others++
			continue
		}
		if err := netlink.FilterDel(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return others, explain("detach from "+device.name, err)
		}
	}
	return others, nil
}

// removeFilters removes our filters from all devices of the current namespace,
// and the qdiscs that we have made there, by the notes, unless somebody else uses
// them by now.
func removeFilters(n notes) error {
	devices, err := listDevices()
	if err != nil {
		return err
	}
	for _, device := range devices {
		others := 0
		for _, direction := range []direction{ingress, egress} {
			left, err := removeFilter(device, direction)
			if err != nil {
				return err
			}
			others += left
		}
		if _, made, err := n.read(qdiscNote(device.ifindex)); err != nil || !made || others > 0 {
			continue
		}
		err := netlink.QdiscDel(clsact(device.ifindex))
		// Somebody has removed it: EINVAL where the kernel still has its place, ENODEV if
		// the device went with it.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
			return explain("remove the clsact qdisc of "+device.name, err)
		}
	}
	return nil
}
