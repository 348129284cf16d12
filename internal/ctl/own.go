// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// disconnect takes sockets of this host away from backends that are gone. Such a
// socket is connected to the backend itself, so no packet of it comes here to find
// another one: its program has to connect again. UDP sockets always lose such a
// backend; TCP ones lose those that were taken away with this change, if connections
// are to be reset.
func (t *transaction) disconnect(existing Existing) error {
	anyGone := false
	for _, b := range t.after.backends {
		anyGone = anyGone || t.after.gone(b)
	}
	if !anyGone {
		return nil
	}
	sockets, err := t.d.Maps.OwnSockets()
	if err != nil {
		return err
	}
	if err := t.d.DisconnectSockets(uint8(UDP), t.strays(sockets, UDP, t.after.gone)); err != nil || existing != ExistingReset {
		return err
	}
	return t.d.DisconnectSockets(uint8(TCP), t.strays(sockets, TCP, t.taken))
}

// strays returns the sockets that have a backend which is gone. Nobody has noted
// which forward gave a socket its backend; it is taken to be the one with the
// highest preference of those that may have.
func (t *transaction) strays(sockets []maps.OwnSocket, protocol Protocol, gone func(backend) bool) map[maps.Socket]bool {
	slices.SortFunc(sockets, func(a, b maps.OwnSocket) int { return cmp.Compare(a.Peer.Port(), b.Peer.Port()) })
	// By position in sockets: the preference of the best so far, and whether its
	// backend is gone.
	preferences, strays := make([]int, len(sockets)), make([]bool, len(sockets))
	for _, b := range t.after.backends {
		k := t.after.all[b.info.Forward]
		if k.Protocol != uint8(protocol) {
			continue
		}
		isGone, preference := gone(b), t.preference(k, b)
		i, _ := slices.BinarySearchFunc(sockets, b.PortFirst, func(s maps.OwnSocket, port uint16) int {
			return cmp.Compare(s.Peer.Port(), port)
		})
		for ; i < len(sockets) && sockets[i].Peer.Port() <= b.PortLast; i++ {
			switch {
			case !mayHaveGiven(k, b, sockets[i]):
			case preference > preferences[i]:
				preferences[i], strays[i] = preference, isGone
			case preference == preferences[i]:
				strays[i] = strays[i] || isGone
			}
		}
	}
	those := make(map[maps.Socket]bool)
	for i, s := range sockets {
		if strays[i] {
			those[s.Socket] = true
		}
	}
	return those
}

// mayHaveGiven says whether a socket that asked for what it did can have got the
// backend of a forward.
func mayHaveGiven(k maps.Forward, b backend, s maps.OwnSocket) bool {
	return k.PortFirst <= s.Asked.Port() && s.Asked.Port() <= k.PortLast &&
		(!k.Address.IsValid() || k.Address == s.Asked.Addr()) &&
		Frontend{Devices: k.Devices}.arrivesBy(loopback) &&
		(!b.Address.IsValid() || b.Address == s.Peer.Addr())
}

// preference orders what may have given a socket its backend, the best highest:
// what has it still or had it until this change comes before what was deleted
// earlier; then as the programs choose; then what has it still. It is positive.
func (t *transaction) preference(k maps.Forward, b backend) int {
	gone := t.after.gone(b)
	preference := 1
	for _, is := range []bool{!gone || t.goes(b), k.Address.IsValid(), len(k.Devices) > 0, k.PortFirst == k.PortLast, !gone} {
		preference *= 2
		if is {
			preference++
		}
	}
	return preference
}
