// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/gopacket/gopacket/layers"
)

// verify checks all checksums in a frame by adding up its bytes (RFC 1071),
// which is not how anybody else here does it. The description says where
// they are.
func (r *run) verify(frame []byte, p packet) {
	r.Helper()
	if p.mangle != nil {
		return
	}
	ip := frame[r.link.headerLength(p):]
	r.verifyIP("", ip[:len(ip)-len(p.trailer)], p)
}

// verifyIP checks an IP packet, or the first part of one, which an ICMP error
// quotes.
func (r *run) verifyIP(what string, ip []byte, p packet) {
	r.Helper()
	headerLength := len(p.ipHeader(r.family))
	if r.family == 4 && sum(ip[:headerLength]) != 0xffff {
		r.Errorf("the checksum of the %sIP header is wrong", what)
	}
	content := ip[headerLength:]
	if p.fragment != nil || len(content) < len(p.content(r.family)) {
		return
	}
	for _, e := range p.inner {
		if r.family == 6 {
			content = content[len(e.content):]
		}
	}
	if d, ok := p.body.(datagram); ok && d.unchecked {
		if content[6] != 0 || content[7] != 0 {
			r.Errorf("the %sUDP datagram has got a checksum", what)
		}
		return
	}
	covered := content
	if protocol := p.body.protocol(r.family); protocol != layers.IPProtocolICMPv4 {
		covered = append(pseudoHeader(ip, r.family, protocol, len(content)), content...)
	}
	if _, ok := p.body.(opaque); !ok && sum(covered) != 0xffff {
		r.Errorf("the checksum of the %sbody is wrong", what)
	}
	if e, ok := p.body.(icmpError); ok {
		r.verifyIP("quoted ", content[8:], e.quote)
	}
}

// pseudoHeader is what checksums cover beside the body (RFC 9293 3.1, RFC 8200
// 8.1).
func pseudoHeader(ip []byte, f family, protocol layers.IPProtocol, length int) []byte {
	addresses := ip[12:20]
	if f == 6 {
		addresses = ip[8:40]
	}
	b := append([]byte(nil), addresses...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return binary.BigEndian.AppendUint32(b, uint32(protocol))
}

// sum is the one's complement sum of 16-bit words.
func sum(b []byte) uint16 {
	var s uint32
	for i, octet := range b {
		s += uint32(octet) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
