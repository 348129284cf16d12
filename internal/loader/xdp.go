// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"github.com/xfwd/xfwd/bpf"
)

// xdpProgram names the program that this kernel takes. There are two of the same: one for
// drivers that hand over each packet in one buffer, one for those that may use more. Linux
// 5.18 has brought packets of several buffers, and this helper with them.
func xdpProgram() string {
	if features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil {
		return bpf.XfwdProgXfwdXdpFrags
	}
	return bpf.XfwdProgXfwdXdp
}

// xdpLink is a pinned link of ours to the XDP hook of a device, by ifindex.
type xdpLink int

// name is that of the pin.
func (l xdpLink) name() string { return fmt.Sprintf("%d-%s", int(l), ModeNative) }

// xdpLinks lists the pins. Their devices may have gone.
func (d *Dataplane) xdpLinks() ([]xdpLink, error) {
	pins, err := os.ReadDir(filepath.Join(d.directory, linkPins))
	if err != nil {
		return nil, explain("list the pinned links", err)
	}
	var links []xdpLink
	for _, pin := range pins {
		number, mode, _ := strings.Cut(pin.Name(), "-")
		ifindex, err := strconv.Atoi(number)
		if err == nil && mode == ModeNative {
			links = append(links, xdpLink(ifindex))
		}
	}
	return links, nil
}

// sendableXDP returns the devices that XDP may send through, by ifindex: those that
// have our program in their driver, and for a veth, another one at its other end.
func (d *Dataplane) sendableXDP(devices []*device) ([]uint32, error) {
	links, err := d.xdpLinks()
	if err != nil {
		return nil, err
	}
	var sendable []uint32
	for _, l := range links {
		i := slices.IndexFunc(devices, func(d *device) bool { return d.ifindex == int(l) })
		if i >= 0 && devices[i].deliversXDP() && d.xdpAttached(l) {
			sendable = append(sendable, uint32(l))
		}
	}
	return sendable, nil
}

// xdpAttached says whether a pinned link is there and still on its device.
func (d *Dataplane) xdpAttached(l xdpLink) bool {
	info, found, err := d.pinnedInfo(l.name())
	return err == nil && found && int(info.target) == int(l)
}

// attachXDP attaches to a device, or updates what is attached there already.
func (d *Dataplane) attachXDP(device *device, program *ebpf.Program) error {
	l := xdpLink(device.ifindex)
	info, found, err := d.pinnedInfo(l.name())
	if err != nil {
		return err
	}
	if found && d.runs(info, program) {
		return nil
	}
	if found {
		return explain("update the XDP program on "+device.name, d.updatePinned(l.name(), program))
	}
	fresh, err := link.AttachXDP(link.XDPOptions{
		Program:   program,
		Interface: device.ifindex,
		Flags:     link.XDPDriverMode,
	})
	if err != nil {
		return err
	}
	return d.pinNew(fresh, l.name())
}

// limitXDP has XDP send through no other devices than these, by ifindex. Next hops
// end before the kernel takes a device away: XDP drops what it has no device for.
func (d *Dataplane) limitXDP(ifindexes []uint32) error {
	have, err := d.Maps.XDPDevices()
	if err != nil {
		return err
	}
	var stay, gone []uint32
	for _, ifindex := range have {
		if slices.Contains(ifindexes, ifindex) {
			stay = append(stay, ifindex)
		} else {
			gone = append(gone, ifindex)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := d.Maps.ForgetXDP(gone); err != nil {
		return err
	}
	if err := d.EndNextHops(); err != nil {
		return err
	}
	return d.Maps.PutXDPDevices(stay)
}

// detachXDPExcept detaches from the devices that shall not have our program any
// more, and removes what is left of devices that have gone.
func (d *Dataplane) detachXDPExcept(stays func(xdpLink) bool) error {
	links, err := d.xdpLinks()
	if err != nil {
		return err
	}
	for _, l := range links {
		if stays(l) && d.xdpAttached(l) {
			continue
		}
		if err := d.detachXDP(l); err != nil {
			return err
		}
	}
	return nil
}

// detachXDP detaches at once; a link that is only unpinned may take its time, and
// keep the hook from the one that comes next.
func (d *Dataplane) detachXDP(l xdpLink) error {
	pinned, err := d.pinnedLink(l.name())
	if err != nil || pinned == nil {
		return err
	}
	defer pinned.Close()
	if d.xdpAttached(l) {
		if err := pinned.Detach(); err != nil {
			return explain("detach the XDP program from device "+strconv.Itoa(int(l)), err)
		}
	}
	return explain("unpin the link "+l.name(), os.Remove(d.linkPath(l.name())))
}
