// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"slices"
)

// answerTo is an ICMP error in both families: types and codes.
var answerTo = map[string][4]byte{
	"no-backend":     {3, 3, 1, 4},
	"no-route":       {3, 1, 1, 0},
	"no-neighbour":   {3, 1, 1, 0},
	"forwarding-off": {3, 1, 1, 0},
	"too-big":        {3, 4, 2, 0},
	"time-exceeded":  {11, 0, 3, 0},
}

// answer is what the sender of a packet is told that goes no further, or nil. Its
// IPv4 id, which chance has chosen, is zero.
func answer(frame []byte, p packet, reason string, mtu int, raw bool) []byte {
	kinds, answered := answerTo[reason]
	from := p.tuple.Source.Addr()
	// The kernel makes no room behind a tag in the frame.
	if !answered || p.kind != transport || p.network > ethernetHeader || from.IsUnspecified() || isLoopback(from) ||
		isMulticast(from) || isMulticast(p.tuple.Destination.Addr()) {
		return nil
	}
	const group = 1
	if !raw && frame[6]&group != 0 {
		return nil
	}
	var body []byte
	protocol := byte(protocolICMP)
	if p.ipv6 {
		protocol = protocolICMPv6
	}
	if reason == "no-backend" && p.tuple.Protocol == protocolTCP {
		if p.flags&flagRST != 0 {
			return nil
		}
		protocol, body = protocolTCP, reset(p)
	} else {
		body = icmpAbout(frame, p, kinds, reason, mtu)
	}
	t := p.tuple.Reversed()
	addresses := addressBytes(t.Source.Addr(), t.Destination.Addr())
	header := answerHeader(p.ipv6, protocol, len(body), addresses)
	sumAt := 2
	covered := [][]byte{body}
	if protocol == protocolTCP {
		sumAt = 16
	}
	if protocol != protocolICMP {
		covered = [][]byte{addresses, binary.BigEndian.AppendUint32(nil, uint32(len(body))), {0, 0, 0, protocol}, body}
	}
	binary.BigEndian.PutUint16(body[sumAt:], checksum(covered...))
	var link []byte
	if !raw {
		link = slices.Concat(frame[6:12], frame[:6], frame[12:p.network])
	}
	return slices.Concat(link, header, body)
}

// reset is the TCP segment that refuses another one (RFC 9293 3.10.7.1).
func reset(p packet) []byte {
	b := portBytes(p.tuple.Reversed())
	sequence, acknowledges, flags := uint32(0), p.sequence+p.adds, byte(flagRST|flagACK)
	if p.flags&flagACK != 0 {
		sequence, acknowledges, flags = p.acknowledged, 0, flagRST
	}
	b = binary.BigEndian.AppendUint32(b, sequence)
	b = binary.BigEndian.AppendUint32(b, acknowledges)
	return append(b, 5<<4, flags, 0, 0, 0, 0, 0, 0)
}

// icmpAbout is an error about a packet, which it quotes as far as it may: RFC 1812
// 4.3.2.3, RFC 4443 2.4(c).
func icmpAbout(frame []byte, p packet, kinds [4]byte, reason string, mtu int) []byte {
	kind, most := kinds[:2], 576-20-8
	if p.ipv6 {
		kind, most = kinds[2:], 1280-40-8
	}
	b := []byte{kind[0], kind[1], 0, 0}
	if reason != "too-big" {
		mtu = 0
	}
	b = binary.BigEndian.AppendUint32(b, uint32(mtu))
	return append(b, frame[p.network:min(p.end, p.network+most)]...)
}

func answerHeader(ipv6 bool, protocol byte, length int, addresses []byte) []byte {
	const hops = 64
	if ipv6 {
		return slices.Concat([]byte{6 << 4, 0, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(length)), []byte{protocol, hops}, addresses)
	}
	tos := byte(0)
	if protocol == protocolICMP {
		tos = 0xc0 // RFC 1812 4.3.2.5
	}
	b := append([]byte{4<<4 | 5, tos}, binary.BigEndian.AppendUint16(nil, uint16(20+length))...)
	b = slices.Concat(b, []byte{0, 0, 0, 0, hops, protocol, 0, 0}, addresses)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return b
}
