// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// deliversXDP says whether a device that has an XDP program in its driver also
// delivers what XDP sends through it. A veth does so only if its other end has
// a program as well; otherwise that vanishes there, and nobody counts it.
func (d *device) deliversXDP() bool {
	if d.kind != "veth" {
		return true
	}
	other, err := d.otherEnd()
	return err == nil && other.Attrs().Xdp != nil && other.Attrs().Xdp.AttachMode == nl.XDP_ATTACHED_DRV
}

// leadsToOneHost says whether what is received at the other end of a device, in
// another namespace, is for that namespace alone, so that no neighbour need be
// found there. It is not if the other end is the port of a bridge, or passes on
// what is not addressed to itself, as the lower device of a macvlan does. To be
// asked in the namespace of the device.
func (d *device) leadsToOneHost() bool {
	if d.other == 0 || d.otherNamespace < 0 {
		return false
	}
	other, err := d.otherEnd()
	return err == nil && other.Attrs().MasterIndex == 0 && other.Attrs().Promisc == 0
}

// otherEnd asks for the other one of a pair, in whatever namespace.
func (d *device) otherEnd() (netlink.Link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(d.other)
	request.AddData(message)
	if d.otherNamespace >= 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(d.otherNamespace))))
	}
	replies, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return nil, err
	}
	if len(replies) == 0 {
		return nil, unix.ENODEV
	}
	return netlink.LinkDeserialize(nil, replies[0])
}
