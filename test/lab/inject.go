// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Injector sends frames of any content from a device.
type Injector struct {
	// Ethernet is the header of what is sent; the type is filled in.
	Ethernet layers.Ethernet

	lab *Lab
	fd  int
}

// Injector prepares sending from the device of one namespace to that of
// another.
func (n *Namespace) Injector(device string, to *Namespace, toDevice string) *Injector {
	n.lab.tb.Helper()
	i := &Injector{lab: n.lab, Ethernet: layers.Ethernet{SrcMAC: n.MAC(device), DstMAC: to.MAC(toDevice)}}
	var err error
	n.Do(func() { i.fd, err = packetSocket(n.Index(device), 0) })
	if err != nil {
		n.lab.tb.Fatalf("injecting on %s in %s: %v", device, n.Name, err)
	}
	n.lab.tb.Cleanup(func() { unix.Close(i.fd) })
	return i
}

// Send sends what the layers, from TCP or UDP on, are between two addresses,
// with right lengths and checksums.
func (i *Injector) Send(from, to netip.Addr, transport gopacket.SerializableLayer, payload []byte) {
	i.lab.tb.Helper()
	ip := network(from, to, transport.LayerType())
	switch transport := transport.(type) {
	case *layers.TCP:
		transport.SetNetworkLayerForChecksum(ip)
	case *layers.UDP:
		transport.SetNetworkLayerForChecksum(ip)
	}
	i.SendLayers(ip.(gopacket.SerializableLayer), transport, gopacket.Payload(payload))
}

// SendLayers sends what the layers are, from IP on, with right lengths and checksums.
func (i *Injector) SendLayers(above ...gopacket.SerializableLayer) {
	i.lab.tb.Helper()
	eth := i.Ethernet
	eth.EthernetType = layers.EthernetTypeIPv4
	if above[0].LayerType() == layers.LayerTypeIPv6 {
		eth.EthernetType = layers.EthernetTypeIPv6
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	err := gopacket.SerializeLayers(buffer, options, append([]gopacket.SerializableLayer{&eth}, above...)...)
	if err != nil {
		i.lab.tb.Fatalf("building a frame: %v", err)
	}
	for {
		_, err := unix.Write(i.fd, buffer.Bytes())
		if err == nil {
			return
		}
		// The device's queue is full: what is sent was a flood.
		if err != unix.ENOBUFS && err != unix.EINTR {
			i.lab.tb.Fatalf("injecting a frame: %v", err)
		}
	}
}

func network(from, to netip.Addr, above gopacket.LayerType) gopacket.NetworkLayer {
	protocol := layers.IPProtocolTCP
	if above == layers.LayerTypeUDP {
		protocol = layers.IPProtocolUDP
	}
	if from.Is4() {
		return &layers.IPv4{
			Version: 4, TTL: 64, Protocol: protocol, Flags: layers.IPv4DontFragment,
			SrcIP: from.AsSlice(), DstIP: to.AsSlice(),
		}
	}
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: protocol,
		SrcIP: from.AsSlice(), DstIP: to.AsSlice(),
	}
}
