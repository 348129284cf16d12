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
