// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Event is what has changed on the host.
type Event int

const (
	// NextHopsChanged: a route, or the link-layer address of a neighbour.
	NextHopsChanged Event = iota
	// HostChanged: devices, addresses, rules or default routes, or so much at once that
	// the kernel could not tell all of it.
	HostChanged
)

// eventGroups are the groups of netlink messages that tell of these.
var eventGroups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
	unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
}

// Events calls yield for what changes in the namespace, until ctx ends, whose cause it
// then returns. Begun is called once nothing can be missed any more.
func (l *Loader) Events(ctx context.Context, begun func(), yield func(Event)) error {
	var socket *nl.NetlinkSocket
	neighbours := make(map[neighbour]string)
	err := l.namespace.Do(func() (err error) {
		if socket, err = nl.Subscribe(unix.NETLINK_ROUTE, eventGroups...); err != nil {
			return err
		}
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
			yield(HostChanged)
		case err != nil:
			return fmt.Errorf("watch the host: %w", err)
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
				yield(HostChanged)
			case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
				if n, err := netlink.NeighDeserialize(m.Data); err == nil && heard(neighbours, n, m.Header.Type == unix.RTM_DELNEIGH) {
					yield(NextHopsChanged)
				}
			case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
				if tellsOfHost(m.Data) {
					yield(HostChanged)
				} else {
					yield(NextHopsChanged)
				}
			case unix.RTM_NEWRULE, unix.RTM_DELRULE:
				// Whether every packet finds a route depends on them.
				yield(HostChanged)
			default:
				yield(NextHopsChanged)
			}
		}
	}
}

// tellsOfHost says whether a message about a route is about the host's own addresses, or
// about a default route.
func tellsOfHost(data []byte) bool {
	if len(data) < unix.SizeofRtMsg {
		return false
	}
	route := nl.DeserializeRtMsg(data)
	return route.Table == unix.RT_TABLE_LOCAL || route.Dst_len == 0
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
