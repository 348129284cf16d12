// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// A datagram whose last fragment overtakes the first one arrives whole where just
// its port is translated: the kernel puts it together afterwards (RFC 4787,
// REQ-14).
func TestFragmentsOutOfOrder(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("53/udp", "30053")
	listener := net.Host.ListenUDP(":30053")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			payload := make([]byte, 2000)
			for i := range payload {
				payload[i] = byte(i / 8)
			}
			client := at(net.ClientAddr.Of(host), 40000)
			first, last := fragmentsOf(t, client, at(host, 53), payload)
			sendRaw(t, net.Client, host, last)
			sendRaw(t, net.Client, host, first)
			listener.SetReadDeadline(time.Now().Add(lab.Patience))
			got := make([]byte, 2*len(payload))
			n, from, err := listener.ReadFromUDPAddrPort(got)
			if err != nil {
				t.Fatal(err)
			}
			if from := at(from.Addr().Unmap(), from.Port()); from != client || string(got[:n]) != string(payload) {
				t.Errorf("%d bytes from %v arrived, want %d from %v", n, from, len(payload), client)
			}
		})
	}
}

// fragmentsOf returns the IP packets that carry a datagram in two pieces.
func fragmentsOf(t *testing.T, from, to netip.AddrPort, payload []byte) (first, last []byte) {
	t.Helper()
	const id, cut = 4711, 1200
	ip := gopacket.NetworkLayer(&layers.IPv4{SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()})
	if from.Addr().Is6() {
		ip = &layers.IPv6{SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	udp.SetNetworkLayerForChecksum(ip)
	datagram := serialized(t, udp, gopacket.Payload(payload))
	if from.Addr().Is4() {
		packet := func(flags layers.IPv4Flag, offset int, piece []byte) []byte {
			return serialized(t, &layers.IPv4{
				Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Id: id, Flags: flags, FragOffset: uint16(offset / 8),
				SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
			}, gopacket.Payload(piece))
		}
		return packet(layers.IPv4MoreFragments, 0, datagram[:cut]), packet(0, cut, datagram[cut:])
	}
	packet := func(position uint16, piece []byte) []byte {
		header := []byte{byte(layers.IPProtocolUDP), 0, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(header[2:], position)
		binary.BigEndian.PutUint32(header[4:], id)
		return serialized(t, &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolIPv6Fragment,
			SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
		}, gopacket.Payload(append(header, piece...)))
	}
	return packet(1, datagram[:cut]), packet(cut, datagram[cut:])
}

// serialized is what layers are on the wire.
func serialized(t *testing.T, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// sendRaw sends an IP packet as it is.
func sendRaw(t *testing.T, from *lab.Namespace, to netip.Addr, packet []byte) {
	t.Helper()
	var err error
	from.Do(func() {
		family, destination := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: to.As16()})
		if to.Is4() {
			family, destination = unix.AF_INET, &unix.SockaddrInet4{Addr: to.As4()}
		}
		var fd int
		if fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return
		}
		defer unix.Close(fd)
		err = unix.Sendto(fd, packet, 0, destination)
	})
	if err != nil {
		t.Fatal(err)
	}
}
