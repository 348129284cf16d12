// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// eventGroups are the groups of netlink messages that tell of these.
var eventGroups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
}

// eventQueue is the room in the kernel for what it tells while we are busy: some thousand
// events.
const eventQueue = 4 << 20

// Events calls yield for what changes in the namespace, until ctx ends, whose cause it
// then returns. Begun is called once nothing can be missed any more.
func (l *Loader) Events(ctx context.Context, begun func(), yield func(Change)) error {
	var socket *nl.NetlinkSocket
	neighbours := make(map[neighbour]string)
	err := l.namespace.Do(func() (err error) {
		if socket, err = nl.Subscribe(unix.NETLINK_ROUTE, eventGroups...); err != nil {
			return err
		}
		// What does not fit is told as a change of everything.
		_ = socket.SetReceiveBufferSize(eventQueue, true)
		return knownNeighbours(neighbours)
	})
	if socket != nil {
		defer socket.Close()
	}
	if err != nil {
		return fmt.Errorf("watch the host: %w", err)
	}
	defer context.AfterFunc(ctx, socket.Close)()
	begun()
	for {
		messages, _, err := socket.Receive()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, unix.ENOBUFS):
			yield(WholeChange())
		case err != nil:
			return fmt.Errorf("watch the host: %w", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
				yield(hostChange(m.Header.Type, m.Data))
			case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
				if n, err := netlink.NeighDeserialize(m.Data); err == nil && heard(neighbours, n, m.Header.Type == unix.RTM_DELNEIGH) {
					yield(Change{NextHops: true})
				}
			case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
				yield(routeChange(m.Data))
			case unix.RTM_NEWRULE, unix.RTM_DELRULE:
				yield(ruleChange())
			default:
				yield(ruleChange())
			}
		}
	}
}

// hostChange is that of a message about a device or an address. Both have the number of the
// device in the same place.
func hostChange(kind uint16, data []byte) Change {
	if len(data) < unix.SizeofIfAddrmsg {
		return WholeChange()
	}
	ifindex := int(binary.NativeEndian.Uint32(data[4:]))
	if kind == unix.RTM_NEWADDR || kind == unix.RTM_DELADDR {
		return addressChange(ifindex)
	}
	return deviceChange(ifindex)
}

// neighbour is how neighbours are told apart.
type neighbour struct {
	ifindex int
	address string
}

// knownNeighbours fills in the link-layer addresses of those that the host knows.
func knownNeighbours(known map[neighbour]string) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.NeighList(0, family)
		if err != nil {
			return err
		}
		for i := range list {
			heard(known, &list[i], false)
		}
	}
	return nil
}

// heard notes what is said of a neighbour, and returns whether next hops that led to it
// lead somewhere else now. That it was asked again and has confirmed its address, as the
// kernel says every few seconds, is nothing new; nor is one that was not known, for no
// next hop led to it.
func heard(known map[neighbour]string, n *netlink.Neigh, gone bool) bool {
	const valid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY
	if n.Family != unix.AF_INET && n.Family != unix.AF_INET6 { // of a bridge, whose ports are no next hops
		return false
	}
	key := neighbour{n.LinkIndex, string(n.IP)}
	was, isKnown := known[key]
	switch {
	case gone || n.State&valid == 0:
		delete(known, key)
		return isKnown
	default:
		known[key] = string(n.HardwareAddr)
		return isKnown && was != string(n.HardwareAddr)
	}
}
