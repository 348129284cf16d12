// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/gopacket/gopacket/layers"
)

// answerHops is the TTL or hop limit of packets that xfwd itself makes.
const answerHops = 64

// answerHeader is what the IPv4 header of such a packet has of its own.
type answerHeader struct{ id uint16 }

func (a *answerHeader) put(ip *layers.IPv4) {
	ip.TTL, ip.Flags, ip.Id, ip.TOS = answerHops, 0, a.id, 0
	if ip.Protocol == layers.IPProtocolICMPv4 {
		ip.TOS = 0xc0 // internetwork control (RFC 1812 4.3.2.5)
	}
}

// learn finds out the id, which is any (RFC 6864).
func (a *answerHeader) learn(ip []byte, f family) {
	if f == 4 {
		a.id = binary.BigEndian.Uint16(ip[4:])
	}
}

// refusalOf is the reset that answers a segment without a connection (RFC 9293
// 3.10.7.1).
func refusalOf(s segment) segment {
	if s.flags == "S" {
		return segment{flags: "R.", ack: s.seq + 1 + uint32(len(s.payload)), closed: true}
	}
	return segment{flags: "R", seq: s.ack, closed: true}
}

// isRefused is a packet of the client for which there is no backend.
func (c connection) isRefused(b body, shapes ...shaping) exchange {
	e := arrives(c.request(b, shapes...))
	if s, isTCP := b.(segment); isTCP {
		return e.isAnswered("no-backend", refusalOf(s))
	}
	return e.isAnswered("no-backend", portUnreachable.most(e.in))
}
