// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// packet describes an IP packet in either family. What it becomes is described
// likewise, and both are built from nothing else: no byte of what is expected
// comes from the packet that is sent.
type packet struct {
	from, to endpoint
	body     body
	shape
}

// shape is what a packet has beside its endpoints and its body.
type shape struct {
	tags       []uint16 // of 802.1Q, in the frame, outermost first: tag control information
	options    []layers.IPv4Option
	extensions []extension // of IPv6, before a fragment header
	fragment   *fragment
	inner      []extension     // of IPv6, behind a fragment header: in the fragments
	trailer    string          // behind the packet, in the same frame
	mangle     func(ip []byte) // breaks the packet, once it is built
	hops       int             // left, in place of usualHops
	answer     *answerHeader   // that of a packet which xfwd itself has made
}

// usualHops is the TTL or hop limit of packets that say nothing else.
const usualHops = 63

func (s shape) hopsLeft() uint8 {
	if s.hops == 0 {
		return usualHops
	}
	return uint8(s.hops)
}

// extension is an IPv6 extension header, of which the first byte is for the
// number of the next one.
type extension struct {
	protocol layers.IPProtocol
	content  []byte
}

// fragment is a piece of a datagram: its bytes from offset on, before end; an
// end of zero is the datagram's.
type fragment struct {
	id          uint16
	offset, end int
}

// shaping changes a packet's shape.
type shaping func(*shape)

// between is a packet from one endpoint to another.
func between(from, to endpoint, b body, shapes ...shaping) packet {
	p := packet{from: from, to: to, body: b}
	for _, s := range shapes {
		s(&p.shape)
	}
	return p
}

// known is the packet with a port in place of `chosen`, wherever it is.
func (p packet) known(port int) packet {
	for _, e := range []*endpoint{&p.from, &p.to} {
		if e.port == chosen {
			e.port = port
		}
	}
	if e, ok := p.body.(icmpError); ok {
		e.quote = e.quote.known(port)
		p.body = e
	}
	return p
}

// ip is the packet from its IP header on.
func (p packet) ip(f family) []byte {
	return append(p.ipHeader(f), p.content(f)...)
}

// content is what is behind the IP header and its extensions.
func (p packet) content(f family) []byte {
	content := p.body.bytes(f, p.from, p.to)
	if f == 6 {
		content = prepend(p.inner, p.body.protocol(f), content)
	}
	if p.fragment == nil {
		return content
	}
	end := p.fragment.end
	if end == 0 {
		end = len(content)
	}
	return content[p.fragment.offset:end]
}

func (p packet) ipHeader(f family) []byte {
	if f == 4 {
		return p.ipv4Header()
	}
	return p.ipv6Header()
}

func (p packet) ipv4Header() []byte {
	ip := &layers.IPv4{
		Version: 4, TTL: p.hopsLeft(), TOS: 0x28, Protocol: p.body.protocol(4), Options: slices.Clone(p.options),
		SrcIP: p.from.V4.AsSlice(), DstIP: p.to.V4.AsSlice(), Flags: layers.IPv4DontFragment,
	}
	if p.answer != nil {
		p.answer.put(ip)
	}
	if p.fragment != nil {
		ip.Id, ip.Flags, ip.FragOffset = p.fragment.id, 0, uint16(p.fragment.offset/8)
		if p.fragment.end != 0 {
			ip.Flags = layers.IPv4MoreFragments
		}
	}
	content := p.content(4)
	b := serialize(ip, gopacket.Payload(content))
	return b[:len(b)-len(content)]
}

func (p packet) ipv6Header() []byte {
	next := p.body.protocol(6)
	if len(p.inner) > 0 {
		next = p.inner[0].protocol
	}
	extensions := slices.Clone(p.extensions)
	if p.fragment != nil {
		extensions = append(extensions, p.fragment.header())
	}
	ip := &layers.IPv6{
		Version: 6, HopLimit: p.hopsLeft(), TrafficClass: 0x28, FlowLabel: 0x12345, NextHeader: next,
		SrcIP: p.from.V6.AsSlice(), DstIP: p.to.V6.AsSlice(),
	}
	if p.answer != nil {
		ip.HopLimit, ip.TrafficClass, ip.FlowLabel = answerHops, 0, 0
	}
	if len(extensions) > 0 {
		ip.NextHeader = extensions[0].protocol
	}
	content := p.content(6)
	b := serialize(ip, gopacket.Payload(prepend(extensions, next, content)))
	return b[:len(b)-len(content)]
}

// prepend puts extension headers before what has the number next.
func prepend(extensions []extension, next layers.IPProtocol, content []byte) []byte {
	for _, e := range slices.Backward(extensions) {
		header := slices.Clone(e.content)
		header[0] = byte(next)
		content = append(header, content...)
		next = e.protocol
	}
	return content
}

// isPart says whether it is not all of its datagram.
func (f *fragment) isPart() bool { return f != nil && (f.offset != 0 || f.end != 0) }

// header is the fragment header of IPv6.
func (f *fragment) header() extension {
	position := uint16(f.offset)
	if f.end != 0 {
		position |= 1
	}
	return extension{layers.IPProtocolIPv6Fragment, []byte{
		0, 0, byte(position >> 8), byte(position), 0xab, 0xcd, byte(f.id >> 8), byte(f.id),
	}}
}
