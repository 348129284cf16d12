// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// body is what an IP packet carries.
type body interface {
	protocol(family) layers.IPProtocol
	// bytes returns it between two endpoints, with lengths and checksums.
	bytes(f family, from, to endpoint) []byte
}

// segment is a TCP segment.
type segment struct {
	flags    string // as tcpdump writes them: S, S., ., P., F. and R
	seq, ack uint32
	payload  string
	options  []layers.TCPOption
	closed   bool // its window
}

// A segment for each purpose. Only an opening SYN and a RST acknowledge nothing.
func syn(seq uint32) segment         { return segment{flags: "S", seq: seq} }
func synAck(seq, ack uint32) segment { return segment{flags: "S.", seq: seq, ack: ack} }
func ack(seq, ack uint32) segment    { return segment{flags: ".", seq: seq, ack: ack} }
func data(seq, ack uint32, payload string) segment {
	return segment{flags: "P.", seq: seq, ack: ack, payload: payload}
}
func fin(seq, ack uint32) segment { return segment{flags: "F.", seq: seq, ack: ack} }
func rst(seq uint32) segment      { return segment{flags: "R", seq: seq} }

// with returns the segment with TCP options.
func (s segment) with(options ...layers.TCPOption) segment {
	s.options = options
	return s
}

func (segment) protocol(family) layers.IPProtocol { return layers.IPProtocolTCP }

func (s segment) bytes(f family, from, to endpoint) []byte {
	has := func(flag string) bool { return strings.Contains(s.flags, flag) }
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.port), DstPort: layers.TCPPort(to.port),
		Seq: s.seq, Ack: s.ack, Window: 64240, Options: s.options,
		SYN: has("S"), ACK: has("."), PSH: has("P"), FIN: has("F"), RST: has("R"),
	}
	if s.closed {
		tcp.Window = 0
	}
	must(tcp.SetNetworkLayerForChecksum(networkLayer(f, from, to)))
	return serialize(tcp, gopacket.Payload(s.payload))
}

// datagram is a UDP datagram.
type datagram struct {
	payload   string
	unchecked bool // its checksum is zero, which means none
}

// udp is a datagram with a checksum.
func udp(payload string) datagram { return datagram{payload: payload} }

// unchecked is a datagram without.
func unchecked(payload string) datagram { return datagram{payload, true} }

func (datagram) protocol(family) layers.IPProtocol { return layers.IPProtocolUDP }

func (d datagram) bytes(f family, from, to endpoint) []byte {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.port), DstPort: layers.UDPPort(to.port)}
	must(udp.SetNetworkLayerForChecksum(networkLayer(f, from, to)))
	b := serialize(udp, gopacket.Payload(d.payload))
	if d.unchecked {
		b[6], b[7] = 0, 0
	}
	return b
}

// opaque is a body of a protocol that xfwd does not know.
type opaque layers.IPProtocol

func (o opaque) protocol(family) layers.IPProtocol { return layers.IPProtocol(o) }

func (opaque) bytes(family, endpoint, endpoint) []byte {
	return []byte("forty bytes of a protocol without ports.")
}

// serialize lets gopacket write layers, with lengths and checksums.
func serialize(l ...gopacket.SerializableLayer) []byte {
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	must(gopacket.SerializeLayers(buffer, options, l...))
	return buffer.Bytes()
}

// networkLayer is the header that a checksum of a body covers part of.
func networkLayer(f family, from, to endpoint) gopacket.NetworkLayer {
	source, destination := from.address(f).AsSlice(), to.address(f).AsSlice()
	if f == 4 {
		return &layers.IPv4{SrcIP: source, DstIP: destination}
	}
	return &layers.IPv6{SrcIP: source, DstIP: destination}
}

// must is for what only fails when a description is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
