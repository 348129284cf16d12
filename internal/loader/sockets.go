// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// ResetSockets resets the TCP connections whose peers send packets with these
// tuples, as far as sockets of this namespace have them. Kernels without
// CONFIG_INET_DIAG_DESTROY leave that to the connections' next packets.
func (d *Dataplane) ResetSockets(tuples []maps.Tuple) error {
	if len(tuples) == 0 {
		return nil
	}
	type ends struct{ local, remote netip.AddrPort }
	wanted := make(map[ends]bool, len(tuples))
	for _, t := range tuples {
		wanted[ends{t.Destination, t.Source}] = true
	}
	return d.namespace.Do(func() error {
		destroySockets(unix.IPPROTO_TCP, connected|stateSynReceived, func(family uint8, id diagID) bool {
			return wanted[ends{id.local(family), id.remote(family)}]
		})
		return nil
	})
}

// connected are the states of sockets that have a peer with which they can do
// something yet.
const connected = stateEstablished | stateSynSent | stateFinWait1 | stateFinWait2 | stateCloseWait | stateLastAck | stateClosing

// DisconnectSockets takes their peers from those of these sockets that still have
// them: the next call of their programs fails, with TCP the peer is reset. Kernels
// without CONFIG_INET_DIAG_DESTROY leave them as they are.
func (d *Dataplane) DisconnectSockets(protocol uint8, sockets map[maps.Socket]bool) error {
	if len(sockets) == 0 {
		return nil
	}
	return d.namespace.Do(func() error {
		destroySockets(protocol, connected, func(family uint8, id diagID) bool {
			return sockets[maps.Socket{Cookie: id.cookie(), Peer: id.remote(family)}]
		})
		return nil
	})
}

// destroySockets destroys the sockets of the current namespace, of a protocol and some
// states, that are wanted. It lists them to learn their cookies: asked for two ends alone,
// the kernel takes the listener if no connection has them any more.
func destroySockets(protocol uint8, states uint32, wanted func(family uint8, id diagID) bool) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var ids []diagID
		// Sockets that cannot be listed, or have gone meanwhile, are no error.
		_ = listSockets(family, protocol, states, func(id diagID) {
			if wanted(family, id) {
				ids = append(ids, id)
			}
		})
		for _, id := range ids {
			_ = destroySocket(family, protocol, id)
		}
	}
}
