// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// linkLayer is what a device puts before an IP packet.
type linkLayer int

const (
	ethernet linkLayer = iota
	raw                // nothing, as on tun or WireGuard
	driver             // Ethernet, of a device whose driver runs XDP before tc sees the frame
)

var allLinks = []linkLayer{ethernet, raw, driver}

func (l linkLayer) String() string { return [...]string{"ethernet", "raw", "xdp"}[l] }

// somebody is the link-layer address of who sends frames to the host.
var somebody = net.HardwareAddr{2, 0, 0, 0, 0, 7}

// frame builds a packet as a link carries it to a destination.
func (l linkLayer) frame(p packet, f family, destination net.HardwareAddr) []byte {
	return l.frameBetween(p, f, destination, somebody)
}

func (l linkLayer) frameBetween(p packet, f family, destination, source net.HardwareAddr) []byte {
	b := append(p.ip(f), p.trailer...)
	if p.mangle != nil {
		p.mangle(b)
	}
	if l == raw {
		return b
	}
	header := slices.Concat(destination, source)
	for i, tag := range p.tags {
		ethernetType := layers.EthernetTypeDot1Q
		if i == 0 && len(p.tags) > 1 {
			ethernetType = layers.EthernetTypeQinQ
		}
		header = binary.BigEndian.AppendUint16(header, uint16(ethernetType))
		header = binary.BigEndian.AppendUint16(header, tag)
	}
	ethernetType := layers.EthernetTypeIPv4
	if f == 6 {
		ethernetType = layers.EthernetTypeIPv6
	}
	header = binary.BigEndian.AppendUint16(header, uint16(ethernetType))
	return append(header, b...)
}

// headerLength is that of what frame puts before an IP packet.
func (l linkLayer) headerLength(p packet) int {
	if l == raw {
		return 0
	}
	return 14 + 4*len(p.tags)
}

// linkHeader is the addresses of a frame that somebody sends.
func linkHeader(destination net.HardwareAddr) []byte {
	return slices.Concat(destination, somebody)
}

// decode reads a frame for people.
func (l linkLayer) decode(frame []byte) gopacket.Packet {
	first := gopacket.Decoder(layers.LayerTypeEthernet)
	if l == raw {
		first = layers.LayerTypeIPv4
		if frame[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
	}
	return gopacket.NewPacket(frame, first, gopacket.Default)
}
