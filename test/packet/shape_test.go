// SPDX-License-Identifier: Apache-2.0

package packet

import "github.com/gopacket/gopacket/layers"

// Extension headers of IPv6, eight bytes each. The options are padding.
var (
	hopByHop           = extension{layers.IPProtocolIPv6HopByHop, []byte{0, 0, 1, 4, 0, 0, 0, 0}}
	destinationOptions = extension{layers.IPProtocolIPv6Destination, []byte{0, 0, 1, 4, 0, 0, 0, 0}}
	longOptions        = extension{layers.IPProtocolIPv6Destination, append([]byte{0, 1, 1, 12}, make([]byte, 12)...)}
	// Type 4 (RFC 8754) with nothing left to visit: the packet has arrived.
	routing = extension{layers.IPProtocolIPv6Routing, []byte{0, 0, 4, 0, 0, 0, 0, 0}}
	// One segment is left: the packet is only on its way.
	unfinishedRouting = extension{layers.IPProtocolIPv6Routing,
		append([]byte{0, 2, 4, 1, 0, 0, 0, 0}, pod.V6.AsSlice()...)}
)

// extended puts extension headers before a fragment header or what else follows.
func extended(extensions ...extension) shaping {
	return func(s *shape) { s.extensions = extensions }
}

// extendedInside puts extension headers behind a fragment header.
func extendedInside(extensions ...extension) shaping {
	return func(s *shape) { s.inner = extensions }
}

// withOptions gives an IPv4 packet a router alert (RFC 2113) and padding.
func withOptions(s *shape) {
	s.options = []layers.IPv4Option{
		{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}},
		{OptionType: 1},
	}
}

// The numbers of the options of IPv4 by which a sender says the way (RFC 791 3.1).
const looseRoute, strictRoute = 0x83, 0x89

// sourceRouted gives an IPv4 packet such an option, behind another one. No stop of the way is left, so the
// packet has arrived.
func sourceRouted(option uint8) shaping {
	return func(s *shape) {
		s.options = []layers.IPv4Option{
			{OptionType: 1},
			{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}},
			{OptionType: option, OptionLength: 7, OptionData: []byte{8, 192, 0, 2, 9}},
		}
	}
}

// first makes a packet the fragment of a datagram that ends before a byte.
func first(id uint16, end int) shaping { return piece(id, 0, end) }

// piece makes a packet the fragment from one byte of a datagram to before
// another.
func piece(id uint16, offset, end int) shaping {
	return func(s *shape) { s.fragment = &fragment{id, offset, end} }
}

// last makes a packet the fragment from a byte of a datagram to its end. From
// zero on it is all of it: an atomic fragment (RFC 6946), in IPv6.
func last(id uint16, offset int) shaping { return piece(id, offset, 0) }

// priority is one in the upper three bits of the tag control information.
const priority = 5 << 13

// tagged puts 802.1Q tags with these ids, of which the first is the outermost,
// into the frame. The outer of two is an 802.1ad one.
func tagged(ids ...uint16) shaping {
	return func(s *shape) {
		for _, id := range ids {
			s.tags = append(s.tags, priority|id)
		}
	}
}

// trailed puts bytes behind the packet, as a device does that fills frames up.
func trailed(bytes string) shaping {
	return func(s *shape) { s.trailer = bytes }
}

// mangled breaks a packet, from its IP header on, once it is built.
func mangled(mangle func(ip []byte)) shaping {
	return func(s *shape) { s.mangle = mangle }
}

// hops gives a packet a TTL or hop limit.
func hops(left int) shaping {
	return func(s *shape) { s.hops = left }
}

// oneHopOn has the packet pass a router.
func oneHopOn(s *shape) { s.hops = int(s.hopsLeft()) - 1 }
