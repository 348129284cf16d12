// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// Conversations calls yield for what this host says to others over some protocols, or
// netfilter translates here: connections of its sockets, and both ends of those that
// netfilter tracks. What cannot be listed is left out.
func (d *Dataplane) Conversations(protocols []uint8, yield func(maps.Conversation)) error {
	return d.namespace.Do(func() error {
		for _, protocol := range protocols {
			for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
				// A kernel without sock_diag learns of sockets from their packets.
				_ = listSocketStates(family, protocol, talking, func(id diagID, state uint8) {
					yield(socketConversation(family, protocol, id, state))
				})
			}
		}
		// So does one whose netfilter tells nothing.
		_ = listTracked(func(t tracked) {
			for _, c := range t.conversations() {
				yield(c)
			}
		})
		return nil
	})
}

// talking are the states of sockets that have a conversation. Those in which both ends
// have closed need none: the programs find the socket, should another packet come.
const talking = stateEstablished | stateSynSent | stateSynReceived | stateFinWait1 | stateFinWait2 | stateCloseWait

func socketConversation(family, protocol uint8, id diagID, state uint8) maps.Conversation {
	bit := uint32(1) << state
	return maps.Conversation{
		Arriving:    maps.Tuple{Source: id.remote(family), Destination: id.local(family), Protocol: protocol},
		Established: bit&(stateSynSent|stateSynReceived) == 0,
		FinForward:  bit&stateCloseWait != 0,
		FinReverse:  bit&(stateFinWait1|stateFinWait2) != 0,
	}
}

// conversations returns what of a tracked connection must be left alone: the answers
// to what was asked from here, and what clients send that is translated. What is not
// translated is a socket's, or that of a server that answers anybody.
func (t tracked) conversations() []maps.Conversation {
	c := maps.Conversation{Arriving: t.reply, Established: t.replied}
	if t.original.Protocol == unix.IPPROTO_TCP {
		switch t.state {
		case trackedEstablished:
			c.Established = true
		case trackedSynSent, trackedSynReceived, trackedFinWait, trackedCloseWait:
			c.Established = false
		default:
			return nil // it has ended
		}
	}
	found := []maps.Conversation{c}
	if t.translated() && (t.replied || t.original.Protocol == unix.IPPROTO_TCP) {
		c.Arriving = t.original
		found = append(found, c)
	}
	return found
}
