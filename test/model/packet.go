// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"
)

// kind is what of a packet its headers tell.
type kind int

const (
	transport kind = iota // TCP or UDP with its header
	fragment              // a later fragment, without ports
	icmpError             // quotes a packet of a flow
)

const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// packet is what the headers of a frame say. Offsets are from its first byte.
type packet struct {
	kind
	// tuple is the packet's; for an ICMP error that of a packet which would
	// answer the quoted one, and so has the direction of the error.
	tuple Tuple
	ipv6  bool
	// network, transport and end are the offsets of the headers and behind the
	// packet, headers the length of all headers, size the bytes from the IP
	// header on that a device must take at once.
	network, transport, end, headers, size int
	// quotedNetwork and quotedTransport are those of what an ICMP error quotes.
	quotedNetwork, quotedTransport int
	ttl                            int
	// class is the traffic class of IPv6.
	class uint8
	// fragmentID is the datagram's, of which this is the first of several
	// fragments, or a later one.
	fragmentID uint32
	first      bool
	// mayFragment: it is of IPv4, which does not forbid that, and has no options.
	mayFragment bool
	// options: it is of IPv4 and has some; sourceRouted: they say by which way it goes on.
	options, sourceRouted bool
	// TCP: its flags, numbers, and how far it moves the sequence number. Of an ICMP
	// error, sequence is that of the quoted segment.
	flags                        byte
	sequence, acknowledged, adds uint32
	// unchecked: UDP without checksum.
	unchecked bool
}

// parse reads the headers of a frame; raw ones have no link layer. The reason says
// why it is none of ours, and is empty if it may be. merged: the kernel has made it of several.
func parse(frame []byte, raw, merged bool) (p packet, reason string) {
	if p.network, p.ipv6, reason = parseLink(frame, raw); reason != "" {
		return p, reason
	}
	n, reason := parseNetwork(frame, p.network, len(frame), p.ipv6, merged)
	p.tuple = Tuple{netip.AddrPortFrom(n.source, 0), netip.AddrPortFrom(n.destination, 0), unknown}
	if reason != "" {
		return p, reason
	}
	if p.ipv6 {
		p.class = uint8(binary.BigEndian.Uint16(frame[p.network:]) >> 4)
	}
	if n.end > len(frame) {
		return p, "malformed"
	}
	p.tuple.Protocol = n.protocol
	p.transport, p.end, p.size, p.ttl = n.transport, n.end, n.end-p.network, n.ttl
	p.fragmentID, p.first, p.mayFragment = n.id, n.first, n.mayFragment
	p.options = !p.ipv6 && p.transport-p.network > 20
	p.sourceRouted = p.options && isSourceRouted(frame[p.network+20:p.transport])
	switch {
	case n.later:
		p.kind, p.headers = fragment, n.transport
		return p, ""
	case n.protocol == protocolTCP:
		return p, p.parseTCP(frame)
	case n.protocol == protocolUDP:
		return p, p.parseUDP(frame)
	case n.protocol == protocolICMP && !p.ipv6, n.protocol == protocolICMPv6 && p.ipv6:
		return p, p.parseICMP(frame)
	}
	return p, "not-ip"
}

// parseLink finds the IP header behind Ethernet and at most two VLAN tags.
func parseLink(frame []byte, raw bool) (network int, ipv6 bool, reason string) {
	if raw {
		if len(frame) == 0 {
			return 0, false, "malformed"
		}
		version := frame[0] >> 4
		if version != 4 && version != 6 {
			return 0, false, "not-ip"
		}
		return 0, version == 6, ""
	}
	const ipv4Type, ipv6Type, tag, serviceTag = 0x0800, 0x86dd, 0x8100, 0x88a8
	network = 14
	for tags := 0; ; tags++ {
		if len(frame) < network {
			return 0, false, "malformed"
		}
		switch protocol := binary.BigEndian.Uint16(frame[network-2:]); {
		case (protocol == tag || protocol == serviceTag) && tags < 2:
			network += 4
		case protocol == ipv4Type || protocol == ipv6Type:
			return network, protocol == ipv6Type, ""
		default:
			return 0, false, "not-ip"
		}
	}
}

// network is what an IP header says, the outer or a quoted one.
type network struct {
	source, destination netip.Addr
	protocol            uint8
	// transport and end are offsets: of the next header, and behind the packet by
	// its own word.
	transport, end, ttl int
	// id is the datagram's of which this is the first or a later fragment.
	id           uint32
	first, later bool
	// mayFragment: see packet.
	mayFragment bool
}

// parseNetwork reads the IP header at an offset of a packet that ends at another.
func parseNetwork(frame []byte, offset, end int, ipv6, merged bool) (network, string) {
	if ipv6 {
		return parseIPv6(frame, offset, merged)
	}
	return parseIPv4(frame, offset, end, merged)
}

func parseIPv4(frame []byte, offset, end int, merged bool) (n network, reason string) {
	if len(frame) < offset+20 {
		return n, "malformed"
	}
	ip := frame[offset:]
	header, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if total == 0 && merged { // too long for its field, by GRO
		total = int(uint32(end - offset))
	}
	if ip[0]>>4 != 4 || header < 20 || total < header {
		return n, "malformed"
	}
	n.source, n.destination = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	n.ttl, n.protocol = int(ip[8]), ip[9]
	n.transport, n.end = offset+header, offset+total
	n.id = uint32(binary.BigEndian.Uint16(ip[4:]))
	position := binary.BigEndian.Uint16(ip[6:])
	n.later = position&0x1fff != 0
	n.first = !n.later && position&0x2000 != 0
	n.mayFragment = position&0x4000 == 0 && header == 20
	return n, ""
}

// mostExtensions is how many extension headers are followed.
const mostExtensions = 6

// unknown is the protocol of a packet that is found malformed before its protocol.
const unknown = protocolHopByHop

func parseIPv6(frame []byte, offset int, merged bool) (n network, reason string) {
	if len(frame) < offset+40 || frame[offset]>>4 != 6 {
		return n, "malformed"
	}
	ip := frame[offset:]
	payload := int(binary.BigEndian.Uint16(ip[4:]))
	sized := payload != 0
	if !sized { // a jumbogram, by GRO
		payload = len(frame) - offset - 40
	}
	n.source, n.destination = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	if n.source.Is4In6() || n.destination.Is4In6() {
		return n, "martian"
	}
	if !sized && !merged {
		return n, "malformed"
	}
	n.ttl, n.end = int(ip[7]), offset+40+payload
	n.protocol, n.transport = ip[6], offset+40
	for i := 0; ; i++ {
		length := 0
		switch n.protocol {
		case protocolFragment:
			length = 8
		case protocolRouting:
			length = 4
		case protocolHopByHop, protocolDestination:
			length = 2
		default:
			return n, ""
		}
		if i == mostExtensions || len(frame) < n.transport+length {
			return n, "malformed"
		}
		header := frame[n.transport:]
		was := n.protocol
		n.protocol = header[0]
		switch was {
		case protocolFragment:
			position := binary.BigEndian.Uint16(header[2:])
			n.id = binary.BigEndian.Uint32(header[4:])
			n.later = position&0xfff8 != 0
			n.first = !n.later && position&1 != 0
			n.transport += 8
			if n.later {
				return n, ""
			}
		case protocolRouting:
			if header[3] != 0 { // segments left: the destination is a stop on the way
				return n, "not-this-host"
			}
			fallthrough
		default:
			n.transport += 8 * (int(header[1]) + 1)
		}
	}
}

func (p *packet) parseTCP(frame []byte) (reason string) {
	if len(frame) < p.transport+20 {
		return "malformed"
	}
	tcp := frame[p.transport:]
	header := int(tcp[12]>>4) * 4
	if header < 20 || p.transport+header > p.end {
		return "malformed"
	}
	p.setPorts(tcp)
	p.flags = tcp[13]
	p.sequence, p.acknowledged = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
	p.adds = uint32(p.end - p.transport - header)
	for _, flag := range []byte{flagSYN, flagFIN} {
		if p.flags&flag != 0 {
			p.adds++
		}
	}
	p.headers = p.transport + header
	return ""
}

func (p *packet) parseUDP(frame []byte) (reason string) {
	if min(len(frame), p.end) < p.transport+8 {
		return "malformed"
	}
	udp := frame[p.transport:]
	p.setPorts(udp)
	p.unchecked = udp[6] == 0 && udp[7] == 0
	p.headers = p.transport + 8
	return ""
}

func (p *packet) parseICMP(frame []byte) (reason string) {
	if len(frame) < p.transport+8 {
		return "malformed"
	}
	message := frame[p.transport]
	isError := message == 3 || message == 11 || message == 12 // RFC 792
	if p.ipv6 {
		isError = message >= 1 && message <= 4 // RFC 4443 2.1
	}
	if !isError {
		return "icmp-unrelated"
	}
	p.quotedNetwork = p.transport + 8
	quoted, reason := parseNetwork(frame, p.quotedNetwork, p.end, p.ipv6, true)
	if reason != "" {
		return reason
	}
	if quoted.later || quoted.protocol != protocolTCP && quoted.protocol != protocolUDP {
		return "icmp-unrelated"
	}
	p.quotedTransport = quoted.transport
	if min(len(frame), p.end) < p.quotedTransport+4 {
		return "malformed"
	}
	if quoted.protocol == protocolTCP {
		if min(len(frame), p.end) < p.quotedTransport+8 {
			return "malformed"
		}
		p.sequence = binary.BigEndian.Uint32(frame[p.quotedTransport+4:])
	}
	p.kind = icmpError
	p.tuple = Tuple{netip.AddrPortFrom(quoted.source, 0), netip.AddrPortFrom(quoted.destination, 0), quoted.protocol}
	p.setPorts(frame[p.quotedTransport:])
	p.tuple = p.tuple.Reversed()
	return ""
}

func (p *packet) setPorts(header []byte) {
	p.tuple.Source = withPort(p.tuple.Source, binary.BigEndian.Uint16(header))
	p.tuple.Destination = withPort(p.tuple.Destination, binary.BigEndian.Uint16(header[2:]))
}
