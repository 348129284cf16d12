// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TooBig returns, for each arriving ICMP error that says so, where the packet
// that it quotes was going.
func TooBig(packets []Packet) (quotes []netip.AddrPort) {
	for _, p := range packets {
		if p.Outgoing {
			continue
		}
		var quoted gopacket.Packet
		if l, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok &&
			l.TypeCode == layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded) {
			quoted = gopacket.NewPacket(l.Payload, layers.LayerTypeIPv4, gopacket.Default)
		}
		if l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok &&
			l.TypeCode.Type() == layers.ICMPv6TypePacketTooBig {
			// The MTU precedes the quote.
			quoted = gopacket.NewPacket(l.Payload[4:], layers.LayerTypeIPv6, gopacket.Default)
		}
		if quoted == nil {
			continue
		}
		var quote netip.AddrPort
		if ip := quoted.NetworkLayer(); ip != nil {
			addr, _ := netip.AddrFromSlice(ip.NetworkFlow().Dst().Raw())
			// The quote may be too short to be decoded, but bears the ports.
			if payload := ip.LayerPayload(); len(payload) >= 4 {
				quote = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(payload[2:]))
			}
		}
		quotes = append(quotes, quote)
	}
	return quotes
}
