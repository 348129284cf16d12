// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// xdpProgram is the one that this kernel takes.
func (d *Dataplane) xdpProgram() *ebpf.Program {
	if d.programs.XfwdXdpFrags != nil {
		return d.programs.XfwdXdpFrags
	}
	return d.programs.XfwdXdp
}

func xdpFlags(mode string) link.XDPAttachFlags {
	if mode == ModeGeneric {
		return link.XDPGenericMode
	}
	return link.XDPDriverMode
}

// xdpLink is a pinned link of ours to the XDP hook of a device.
type xdpLink struct {
	ifindex int
	mode    string
}

// name is that of the pin.
func (l xdpLink) name() string { return fmt.Sprintf("%d-%s", l.ifindex, l.mode) }

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
		if err == nil && (mode == ModeNative || mode == ModeGeneric) {
			links = append(links, xdpLink{ifindex, mode})
		}
	}
	return links, nil
}

// nativeXDP returns the devices that have our program in their driver, by ifindex.
func (d *Dataplane) nativeXDP() ([]uint32, error) {
	links, err := d.xdpLinks()
	if err != nil {
		return nil, err
	}
	var native []uint32
	for _, l := range links {
		if l.mode == ModeNative && d.xdpAttached(l) {
			native = append(native, uint32(l.ifindex))
		}
	}
	return native, nil
}

// xdpAttached says whether a pinned link is there and still on its device.
func (d *Dataplane) xdpAttached(l xdpLink) bool {
	pinned, err := d.pinnedLink(l.name())
	if err != nil || pinned == nil {
		return false
	}
	defer pinned.Close()
	info, err := pinned.Info()
	return err == nil && info.XDP() != nil && int(info.XDP().Ifindex) == l.ifindex
}

// attachXDP attaches to a device, or updates what is attached there already.
func (d *Dataplane) attachXDP(device *device, mode string) error {
	l := xdpLink{device.ifindex, mode}
	old, err := d.pinnedLink(l.name())
	if err != nil {
		return err
	}
	if old != nil {
		defer old.Close()
		return explain("update the XDP program on "+device.name, updateLink(old, d.xdpProgram()))
	}
	fresh, err := link.AttachXDP(link.XDPOptions{
		Program:   d.xdpProgram(),
		Interface: device.ifindex,
		Flags:     xdpFlags(mode),
	})
	if err != nil {
		return err
	}
	return d.pinNew(fresh, l.name())
}

// retireXDP detaches from the devices that shall not have our program any more,
// or not in that mode. First nothing is sent there: a driver without a program
// drops what XDP redirects to it.
func (d *Dataplane) retireXDP(stays func(xdpLink) bool) error {
	links, err := d.xdpLinks()
	if err != nil {
		return err
	}
	var retired []xdpLink
	var ifindexes, stay []uint32
	for _, l := range links {
		switch {
		case !stays(l) || !d.xdpAttached(l):
			retired = append(retired, l)
			ifindexes = append(ifindexes, uint32(l.ifindex))
		case l.mode == ModeNative:
			stay = append(stay, uint32(l.ifindex))
		}
	}
	if len(retired) == 0 {
		return nil
	}
	if err := d.Maps.ForgetXDP(ifindexes); err != nil {
		return err
	}
	if err := d.endNextHops(); err != nil {
		return err
	}
	if err := d.Maps.PutXDPDevices(stay); err != nil {
		return err
	}
	for _, l := range retired {
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
			return explain("detach the XDP program from device "+strconv.Itoa(l.ifindex), err)
		}
	}
	return explain("unpin the link "+l.name(), os.Remove(d.linkPath(l.name())))
}
