// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// Lengths of headers.
const (
	ethernetHeader = 14
	tcpHeader      = 20
	udpHeader      = 8
)

// packet describes a packet of a test run.
type packet struct {
	// mac is the Ethernet address that it is sent to.
	mac      net.HardwareAddr
	from, to netip.AddrPort
	// transport is a TCP or UDP header without ports.
	transport gopacket.SerializableLayer
	// payload is how many bytes follow it.
	payload int
}

// with is the packet with another transport header.
func (p packet) with(transport gopacket.SerializableLayer) packet {
	p.transport = transport
	return p
}

// segment is a TCP header; flags are of "SAP".
func segment(sequence, acknowledged uint32, flags string) *layers.TCP {
	t := &layers.TCP{Seq: sequence, Ack: acknowledged, Window: 65535}
	for _, f := range flags {
		switch f {
		case 'S':
			t.SYN = true
		case 'A':
			t.ACK = true
		case 'P':
			t.PSH = true
		}
	}
	return t
}

// frame is the packet on the wire.
func (p packet) frame(tb lab.TB) []byte {
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: p.mac}
	var ip interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	}
	protocol := layers.IPProtocolTCP
	if _, isUDP := p.transport.(*layers.UDP); isUDP {
		protocol = layers.IPProtocolUDP
	}
	if p.from.Addr().Is4() {
		ethernet.EthernetType = layers.EthernetTypeIPv4
		ip = &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: p.from.Addr().AsSlice(), DstIP: p.to.Addr().AsSlice()}
	} else {
		ethernet.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: p.from.Addr().AsSlice(), DstIP: p.to.Addr().AsSlice()}
	}
	var err error
	switch t := p.transport.(type) {
	case *layers.TCP:
		t.SrcPort, t.DstPort = layers.TCPPort(p.from.Port()), layers.TCPPort(p.to.Port())
		err = t.SetNetworkLayerForChecksum(ip)
	case *layers.UDP:
		t.SrcPort, t.DstPort = layers.UDPPort(p.from.Port()), layers.UDPPort(p.to.Port())
		err = t.SetNetworkLayerForChecksum(ip)
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, ethernet, ip, p.transport, gopacket.Payload(make([]byte, p.payload))); err != nil {
		tb.Fatalf("%v", err)
	}
	return b.Bytes()
}

// ipHeader is the length of the packet's IP header.
func (p packet) ipHeader() int {
	if p.from.Addr().Is4() {
		return 20
	}
	return 40
}

// header is the length of all of the packet's headers.
func (p packet) header() int {
	if _, isUDP := p.transport.(*layers.UDP); isUDP {
		return ethernetHeader + p.ipHeader() + udpHeader
	}
	return ethernetHeader + p.ipHeader() + tcpHeader
}

// packetEnd is one of the two ends of a packet, and where the frame has it.
type packetEnd struct {
	netip.AddrPort
	address, port int
}

func (p packet) source() packetEnd {
	return packetEnd{p.from, p.addresses(), ethernetHeader + p.ipHeader()}
}

func (p packet) destination() packetEnd {
	return packetEnd{p.to, p.addresses() + len(p.to.Addr().AsSlice()), ethernetHeader + p.ipHeader() + 2}
}

// addresses is where those of the IP header begin.
func (p packet) addresses() int {
	return ethernetHeader + p.ipHeader() - 2*len(p.from.Addr().AsSlice())
}
