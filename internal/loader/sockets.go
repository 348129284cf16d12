// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

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
			// It may have ended, or be another translator's: no error.
			_ = netlink.SocketDestroy(tcpAddr(t.Destination), tcpAddr(t.Source))
		}
		return nil
	})
}

func tcpAddr(a netip.AddrPort) net.Addr {
	return net.TCPAddrFromAddrPort(a)
}
