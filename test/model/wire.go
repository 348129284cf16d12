// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"
)

// addressesAt returns the offset and the length of the addresses of an IP header.
func addressesAt(network int, ipv6 bool) (offset, length int) {
	if ipv6 {
		return network + 8, 32
	}
	return network + 12, 8
}

// write puts bytes into a frame and notes what they change.
func write(frame []byte, offset int, b []byte) changes {
	var c changes
	c.add(frame[offset:offset+len(b)], b)
	c.before = append([]byte(nil), c.before...)
	copy(frame[offset:], b)
	return c
}

func addressBytes(source, destination netip.Addr) []byte {
	return append(source.AsSlice(), destination.AsSlice()...)
}

func portBytes(t Tuple) []byte {
	b := binary.BigEndian.AppendUint16(nil, t.Source.Port())
	return binary.BigEndian.AppendUint16(b, t.Destination.Port())
}

func (c *changes) join(o changes) { c.add(o.before, o.after) }

// writeAddresses writes those of an IP header, whose own checksum follows.
func writeAddresses(frame []byte, network int, ipv6 bool, source, destination netip.Addr) changes {
	offset, _ := addressesAt(network, ipv6)
	c := write(frame, offset, addressBytes(source, destination))
	if !ipv6 {
		c.update(frame, network+10)
	}
	return c
}

// oneHopLess takes one from the TTL or the hop limit.
func oneHopLess(frame []byte, p packet) {
	if p.ipv6 {
		frame[p.network+7]--
		return
	}
	c := write(frame, p.network+8, []byte{frame[p.network+8] - 1, frame[p.network+9]})
	c.update(frame, p.network+10)
}

// translate gives a packet with ports, or a later fragment, another tuple. One that
// has it already stays as it is to the last bit: of the two ways to write a checksum of
// zero it keeps its own.
func translate(frame []byte, p packet, to Tuple, onward bool) {
	if !onward && p.tuple == to {
		return
	}
	var covered changes
	if onward || p.tuple.Source.Addr() != to.Source.Addr() || p.tuple.Destination.Addr() != to.Destination.Addr() {
		covered = writeAddresses(frame, p.network, p.ipv6, to.Source.Addr(), to.Destination.Addr())
	}
	if onward {
		oneHopLess(frame, p)
	}
	if p.kind == fragment {
		return
	}
	covered.join(write(frame, p.transport, portBytes(to)))
	switch {
	case p.tuple.Protocol == protocolTCP:
		covered.update(frame, p.transport+16)
	case !p.unchecked:
		covered.updateUDP(frame, p.transport+6)
	}
}

// translateError translates an ICMP error: what it quotes, its destination, which
// is the quoted source, and its source if that is the quoted destination; that of
// a router on the way stays.
func translateError(frame []byte, p packet, to Tuple, onward bool) {
	before := append([]byte(nil), frame[p.transport:p.end]...)
	quoted := to.Reversed()
	covered := writeAddresses(frame, p.quotedNetwork, p.ipv6, quoted.Source.Addr(), quoted.Destination.Addr())
	covered.join(write(frame, p.quotedTransport, portBytes(quoted)))
	if tcp := p.quotedTransport + 16; p.tuple.Protocol == protocolTCP && tcp+2 <= p.end {
		covered.update(frame, tcp)
	}
	if udp := p.quotedTransport + 6; p.tuple.Protocol == protocolUDP && udp+2 <= p.end && (frame[udp] != 0 || frame[udp+1] != 0) {
		covered.updateUDP(frame, udp)
	}
	var message changes
	message.add(before, frame[p.transport:p.end])
	if (p.end-p.transport)%2 != 0 { // a zero ends the last word
		message.add([]byte{0}, []byte{0})
	}
	message.update(frame, p.transport+2)

	offset, length := addressesAt(p.network, p.ipv6)
	source, _ := netip.AddrFromSlice(frame[offset : offset+length/2])
	destination, _ := netip.AddrFromSlice(frame[offset+length/2 : offset+length])
	if source == p.tuple.Source.Addr() {
		source = to.Source.Addr()
	}
	if destination == p.tuple.Destination.Addr() {
		destination = to.Destination.Addr()
	}
	outer := writeAddresses(frame, p.network, p.ipv6, source, destination)
	if p.ipv6 { // its checksum covers them (RFC 4443 2.3)
		outer.update(frame, p.transport+2)
	}
	if onward {
		oneHopLess(frame, p)
	}
}
