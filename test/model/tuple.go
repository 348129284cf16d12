// SPDX-License-Identifier: Apache-2.0

package model

import "net/netip"

// Protocols of IP.
const (
	protocolHopByHop    = 0
	protocolICMP        = 1
	protocolTCP         = 6
	protocolUDP         = 17
	protocolRouting     = 43
	protocolFragment    = 44
	protocolICMPv6      = 58
	protocolDestination = 60
)

// Tuple is the transport addresses of a packet, as they are on the wire.
type Tuple struct {
	Source, Destination netip.AddrPort
	// Protocol is that of TCP or UDP.
	Protocol uint8
}

// Reversed is the tuple of packets that answer packets with this one.
func (t Tuple) Reversed() Tuple {
	return Tuple{t.Destination, t.Source, t.Protocol}
}

func withAddr(a netip.AddrPort, addr netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(addr, a.Port())
}

func withPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}
