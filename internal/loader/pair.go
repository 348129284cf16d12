// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"

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
// what is not addressed to itself, as the lower device of a macvlan does.
func leadsToOneHost(other netlink.Link) bool {
	return other.Attrs().MasterIndex == 0 && other.Attrs().Promisc == 0
}

// hasPeer says whether a device is one of a pair, the other of which is in another
// namespace.
func (d *device) hasPeer() bool { return d.other != 0 && d.otherNamespace >= 0 }

// peersOf returns for each of these devices of the current namespace whether it leads to
// one host, by ifindex.
func (a *asker) peersOf(devices []*device) (map[int]bool, error) {
	var pairs []*device
	var bodies [][]byte
	for _, d := range devices {
		if d.hasPeer() {
			pairs = append(pairs, d)
			bodies = append(bodies, linkBody(d.other, d.otherNamespace))
		}
	}
	peers := make(map[int]bool, len(pairs))
	err := a.askEach(unix.RTM_GETLINK, bodies, func(i int, data []byte, err error) {
		if err != nil {
			return
		}
		other, err := netlink.LinkDeserialize(nil, data)
		peers[pairs[i].ifindex] = err == nil && leadsToOneHost(other)
	})
	return peers, err
}

// otherEnd asks for the other one of a pair, in whatever namespace.
func (d *device) otherEnd() (other netlink.Link, err error) {
	found := error(unix.ENODEV)
	err = withAsker(func(a *asker) error {
		return a.askEach(unix.RTM_GETLINK, [][]byte{linkBody(d.other, d.otherNamespace)}, func(_ int, data []byte, err error) {
			if found = err; err == nil {
				other, found = netlink.LinkDeserialize(nil, bytes.Clone(data))
			}
		})
	})
	return other, errors.Join(err, found)
}
