// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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

// A clsact filter is known as ours by its handle, which nobody else has by
// chance: "xfwd" in ASCII. The priority lets filters run before and after us.
const (
	filterHandle   = 0x78667764
	filterPriority = 7
	filterName     = "xfwd"
)

const (
	whyTCX    = "tc after GRO; tcx link"
	whyClsact = "tc after GRO; the kernel has no tcx (Linux 6.6)"
)

func (d *Dataplane) tcProgram(device device, direction direction) *ebpf.Program {
	p := &d.programs
	if device.layer == raw {
		return [...]*ebpf.Program{p.XfwdIngressRaw, p.XfwdEgressRaw}[direction]
	}
	return [...]*ebpf.Program{p.XfwdIngress, p.XfwdEgress}[direction]
}

func linkName(device device, direction direction) string {
	return fmt.Sprintf("%d-%s", device.ifindex, direction)
}

// attachDevice attaches to one direction of a device, by tcx where the kernel
// has it. It returns the mode and why it is that.
func (d *Dataplane) attachDevice(device device, direction direction) (mode, why string, err error) {
	err = d.attachTCX(device, direction)
	if err == nil {
		return ModeTCX, whyTCX, nil
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		return ModeNone, "", err
	}
	if err := d.attachFilter(device, direction); err != nil {
		return ModeNone, "", err
	}
	return ModeClsact, whyClsact, nil
}

func (d *Dataplane) attachTCX(device device, direction direction) error {
	name := linkName(device, direction)
	program := d.tcProgram(device, direction)
	old, err := d.pinnedLink(name)
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		if tcxIfindex(old) == device.ifindex {
			return explain("update the program on "+device.name, updateLink(old, program))
		}
		// The device has gone, and another has got its number.
		if err := os.Remove(d.linkPath(name)); err != nil {
			return explain("unpin the link "+name, err)
		}
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: device.ifindex, Program: program, Attach: direction.tcx()})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	if err != nil {
		return explain(fmt.Sprintf("attach to %s of %s", direction, device.name), err)
	}
	return d.pinNew(l, name)
}

// tcxIfindex is the device of a tcx link, or 0 if it is gone.
func tcxIfindex(l link.Link) int {
	info, err := l.Info()
	if err != nil || info.TCX() == nil {
		return 0
	}
	return int(info.TCX().Ifindex)
}

// deviceHook tells how one direction of a device is attached.
func (d *Dataplane) deviceHook(device device, direction direction) (mode, why string) {
	if l, err := d.pinnedLink(linkName(device, direction)); err == nil && l != nil {
		defer l.Close()
		if tcxIfindex(l) == device.ifindex {
			return ModeTCX, whyTCX
		}
	}
	if found, _ := findFilter(device.ifindex, direction); found {
		return ModeClsact, whyClsact
	}
	return ModeNone, "the device has come, or lost its program, since the last change; `xfwd apply` or any `xfwd add` attaches it"
}

// attachFilter makes or updates our filter. A clsact qdisc that is missing is
// made, and marked as ours by its handle; one that is there is used.
func (d *Dataplane) attachFilter(device device, direction direction) error {
	doing := fmt.Sprintf("attach to %s of %s", direction, device.name)
	err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: device.ifindex,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}})
	if err != nil && !errors.Is(err, unix.EEXIST) {
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
		Fd:           d.tcProgram(device, direction).FD(),
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

// removeFilters removes our filters from all devices of the current namespace.
func removeFilters() error {
	devices, err := listDevices()
	if err != nil {
		return err
	}
	for _, device := range devices {
		for _, direction := range []direction{ingress, egress} {
			filters, err := listFilters(device.ifindex, direction)
			if err != nil {
				// No clsact qdisc, no filters.
				continue
			}
			for _, f := range filters {
				if !isOurs(f) {
					continue
				}
				if err := netlink.FilterDel(f); err != nil && !errors.Is(err, unix.ENOENT) {
					return explain("detach from "+device.name, err)
				}
			}
		}
	}
	return nil
}
