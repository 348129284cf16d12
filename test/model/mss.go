// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// clampMSS lowers the MSS of TCP that a packet with SYN says to what fits the routes of
// both directions, or to less if the user or a rule of netfilter says so.
func (m *Model) clampMSS(frame []byte, p packet, s side, a arrival) {
	most := m.mostMSS(s.Forward, p.ipv6)
	if most == int(maps.MSSOff) {
		return
	}
	headers := 40
	if p.ipv6 {
		headers = 60
	}
	mtu := min(m.Host.Devices[s.hop().device].MTU, m.mtuBack(p, s, a))
	most = min(most, mtu-headers)
	option := findMSS(frame[p.transport+20 : p.headers])
	if option < 0 {
		return
	}
	at := p.transport + 20 + option + 2
	if int(binary.BigEndian.Uint16(frame[at:])) <= most {
		return
	}
	// The checksum covers whole words from the header's first byte on.
	first, last := at, at+2
	if (at-p.transport)%2 != 0 {
		first, last = at-1, at+3
	}
	before := slices.Clone(frame[first:last])
	binary.BigEndian.PutUint16(frame[at:], uint16(most))
	changes{before, frame[first:last]}.update(frame, p.transport+16)
}

// mostMSS is how much may be said through a forward where the MTUs allow it.
func (m *Model) mostMSS(f *Forward, ipv6 bool) int {
	rule := m.Host.RuleMSS[maps.IPv4]
	if ipv6 {
		rule = m.Host.RuleMSS[maps.IPv6]
	}
	switch {
	case f.MSS != maps.MSSToMTU:
		return int(f.MSS)
	case rule != 0:
		return int(rule)
	}
	return int(maps.MSSOff) - 1
}

// mtuBack is the MTU of the route of packets the other way. Where there is none, or the
// host forwards nothing any more, it is that of the device that the packet came by.
func (m *Model) mtuBack(p packet, s side, a arrival) int {
	back := Question{Tuple: p.tuple.Reversed(), Class: p.class, Answers: s.cameBy}
	if s.direction == reverse {
		back.Source, back.Answers = s.to().Destination, ""
	}
	route := m.Host.Route(back)
	if !m.Host.Router || route.Stays || route.Device == "" {
		return m.Host.Devices[a.device].MTU
	}
	return m.Host.Devices[route.Device].MTU
}

// findMSS is the offset of the MSS among the options of TCP, or -1.
func findMSS(options []byte) int {
	const end, nothing, mss, length = 0, 1, 2, 4
	for at := 0; at+length <= len(options); {
		switch kind := options[at]; {
		case kind == end:
			return -1
		case kind == nothing:
			at++
		case kind == mss && options[at+1] == length:
			return at
		case kind == mss || options[at+1] < 2:
			return -1
		default:
			at += int(options[at+1])
		}
	}
	return -1
}
