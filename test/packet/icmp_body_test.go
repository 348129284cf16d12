// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// icmpKind is an ICMP message of one meaning in both families.
type icmpKind struct {
	name         string
	type4, code4 uint8
	type6, code6 uint8
	rest         uint32 // the four bytes behind the checksum: an MTU, a pointer
}

var (
	hostUnreachable  = icmpKind{"host unreachable", 3, 1, 1, 3, 0}
	noRoute          = icmpKind{"no route", 3, 1, 1, 0, 0}
	portUnreachable  = icmpKind{"port unreachable", 3, 3, 1, 4, 0}
	tooBig           = icmpKind{"too big", 3, 4, 2, 0, 1400}
	timeExceeded     = icmpKind{"time exceeded", 11, 0, 3, 0, 0}
	parameterProblem = icmpKind{"parameter problem", 12, 0, 4, 0, 7}
	redirect         = icmpKind{"redirect", 5, 1, 137, 0, 0}
	sourceQuench     = icmpKind{"source quench", 4, 0, 100, 0, 0}

	icmpErrors = []icmpKind{hostUnreachable, portUnreachable, tooBig, timeExceeded, parameterProblem}
)

// icmpError is a message that quotes a packet.
type icmpError struct {
	icmpKind
	quote packet
	// length is how much is quoted behind the IP header; 0 is all, allowed is as
	// much as an error may.
	length int
}

// allowed stands for the longest quote that leaves an error no longer than 576
// bytes (RFC 1812 4.3.2.3), or 1280 (RFC 4443 2.4).
const allowed = -1

// full quotes all of a packet, as ICMPv6 does.
func (k icmpKind) full(quote packet) icmpError { return icmpError{k, quote, 0} }

// cut quotes the first bytes behind the IP header of a packet; RFC 792 has eight.
func (k icmpKind) cut(length int, quote packet) icmpError { return icmpError{k, quote, length} }

// most quotes as much of a packet as may be.
func (k icmpKind) most(quote packet) icmpError { return icmpError{k, quote, allowed} }

func (icmpError) protocol(f family) layers.IPProtocol { return icmpProtocol(f) }

func (e icmpError) bytes(f family, from, to endpoint) []byte {
	quote := e.quote.ip(f)
	switch {
	case e.length == allowed && f == 4:
		quote = quote[:min(len(quote), 576-20-8)]
	case e.length == allowed:
		quote = quote[:min(len(quote), 1280-40-8)]
	case e.length != 0:
		quote = quote[:len(e.quote.ipHeader(f))+e.length]
	}
	return icmp(f, from, to, e.icmpKind, quote)
}

// echo is a ping.
type echo struct{ payload string }

var echoRequest = icmpKind{"echo request", 8, 0, 128, 0, 0x00010001}

func (echo) protocol(f family) layers.IPProtocol { return icmpProtocol(f) }

func (e echo) bytes(f family, from, to endpoint) []byte {
	return icmp(f, from, to, echoRequest, []byte(e.payload))
}

func icmpProtocol(f family) layers.IPProtocol {
	if f == 4 {
		return layers.IPProtocolICMPv4
	}
	return layers.IPProtocolICMPv6
}

func icmp(f family, from, to endpoint, k icmpKind, content []byte) []byte {
	if f == 4 {
		return serialize(&layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(k.type4, k.code4),
			Id:       uint16(k.rest >> 16), Seq: uint16(k.rest),
		}, gopacket.Payload(content))
	}
	header := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(k.type6, k.code6)}
	must(header.SetNetworkLayerForChecksum(networkLayer(f, from, to)))
	return serialize(header, gopacket.Payload(append(binary.BigEndian.AppendUint32(nil, k.rest), content...)))
}
