// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// Socket is one of this host's sockets and its remote end.
type Socket struct {
	// Cookie is the kernel's number of the socket, which none has had before.
	Cookie uint64
	Peer   netip.AddrPort
}

// OwnSocket is a socket that got a backend when its program asked for a frontend.
// It may have gone since, or have another peer.
type OwnSocket struct {
	Socket
	// Asked is what the program asked for; no valid address is the unspecified
	// one of IPv6.
	Asked netip.AddrPort
}

// OwnSockets reads which sockets got a backend, as far as the programs remember.
func (s *Set) OwnSockets() ([]OwnSocket, error) {
	var sockets []OwnSocket
	err := batches(s.maps.SocketPeers, func(key bpf.XfwdSocketPeerKey, asked bpf.XfwdSocketPeer) bool {
		sockets = append(sockets, OwnSocket{
			Socket: Socket{
				Cookie: key.Cookie,
				Peer:   netip.AddrPortFrom(addressFromKernel(key.Address), portFromKernel(key.Port)),
			},
			Asked: netip.AddrPortFrom(addressFromKernel(asked.Address), portFromKernel(asked.Port)),
		})
		return true
	})
	return sockets, err
}
