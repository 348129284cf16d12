// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// whyXDPRefused says in plain words why a device has not taken our program.
func whyXDPRefused(device *device, program *ebpf.Program, err error) string {
	if owner := xdpOwner(device.ifindex); owner != "" {
		return "the XDP hook is taken by " + owner
	}
	hardware := readHardware(device.name)
	subject := "the kernel"
	if hardware.driver != "" {
		subject = "the driver " + hardware.driver
	}
	words := xdpWords(device.ifindex, program, link.XDPDriverMode)
	if words == "" {
		words = plainError(err)
	}
	return fmt.Sprintf("%s refuses %s XDP: %s%s", subject, ModeNative, words, hardware.xdpHint(device, err))
}

// xdpOwner names the XDP program that a device runs, or nothing.
func xdpOwner(ifindex int) string {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil || l.Attrs().Xdp == nil || l.Attrs().Xdp.ProgId == 0 {
		return ""
	}
	id := l.Attrs().Xdp.ProgId
	name := "an unknown program"
	if program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id)); err == nil {
		defer program.Close()
		if info, err := program.Info(); err == nil && info.Name != "" {
			name = info.Name
		}
	}
	return fmt.Sprintf("%s (program id %d)", name, id)
}

// plainError is an error without what it was that failed.
func plainError(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// xdpHint names what is known to keep drivers from XDP, as far as it is the case.
func (h hardware) xdpHint(device *device, err error) string {
	const oneBuffer = 1500
	hint := ""
	if h.lro {
		hint += fmt.Sprintf("; large receive offload is on: `ethtool -K %s lro off`", device.name)
	}
	if device.mtu > oneBuffer && !errors.Is(err, unix.ENOMEM) {
		hint += fmt.Sprintf("; its MTU is %d", device.mtu)
	}
	if h.queues*2 > h.mostQueues && h.queues > 1 {
		hint += fmt.Sprintf("; %d of %d queues are in use, XDP may need as many again: `ethtool -L`", h.queues, h.mostQueues)
	}
	return hint
}

// xdpWords tries once more by rtnetlink, which has words for a refusal where the
// bpf system call has a number. It is empty if there are none.
func xdpWords(ifindex int, program *ebpf.Program, flags link.XDPAttachFlags) string {
	err := setXDP(ifindex, program.FD(), flags)
	if err == nil {
		// Accepted after all; but without a link nobody would ever detach it.
		_ = setXDP(ifindex, -1, flags)
		return ""
	}
	// The library appends the words to the number's own.
	_, words, _ := strings.Cut(err.Error(), plainError(err)+": ")
	return strings.TrimSuffix(words, ".")
}

// setXDP sets the XDP program of a device, by its descriptor, where there is none;
// -1 removes it.
func setXDP(ifindex, program int, flags link.XDPAttachFlags) error {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := socket.SetExtAck(true); err != nil {
		return err
	}
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(ifindex)
	request.AddData(message)
	xdp := nl.NewRtAttr(unix.IFLA_XDP|unix.NLA_F_NESTED, nil)
	xdp.AddRtAttr(nl.IFLA_XDP_FD, nl.Uint32Attr(uint32(program)))
	mode := uint32(flags)
	if program >= 0 {
		mode |= nl.XDP_FLAGS_UPDATE_IF_NOEXIST
	}
	xdp.AddRtAttr(nl.IFLA_XDP_FLAGS, nl.Uint32Attr(mode))
	request.AddData(xdp)
	_, err = request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
