// SPDX-License-Identifier: Apache-2.0

package loader

import (
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
	return d.namespace.Do(func() error {
		for _, t := range tuples {
			family := uint8(unix.AF_INET6)
			if t.Source.Addr().Is4() {
				family = unix.AF_INET
			}
			// It may have ended, or be another translator's: no error.
			_ = destroySocket(family, unix.IPPROTO_TCP, newDiagID(t.Destination, t.Source, anyCookie))
		}
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
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			var ids []diagID
			// Whoever cannot be listed, or has gone meanwhile, is no error.
			_ = listSockets(family, protocol, connected, func(id diagID) {
				if sockets[maps.Socket{Cookie: id.cookie(), Peer: id.remote(family)}] {
					ids = append(ids, id)
				}
			})
			for _, id := range ids {
				_ = destroySocket(family, protocol, id)
			}
		}
		return nil
	})
}
