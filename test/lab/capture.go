// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"sync"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Packet is a frame as it passed a device. A GSO packet is one that the wire
// would carry as several.
type Packet struct {
	gopacket.Packet
	// Outgoing says that it left by the device.
	Outgoing bool
	// SegmentSize is the payload of each segment of a GSO packet, else 0.
	SegmentSize int
	// Unfinished says that the device is to complete the checksum.
	Unfinished bool
}

// Wire returns how many frames of how many bytes in all, Ethernet header
// included, the packet is on a wire.
func (p Packet) Wire() Traffic {
	size := uint64(len(p.Data()))
	if p.SegmentSize == 0 {
		return Traffic{1, size}
	}
	payload := uint64(len(p.TransportLayer().LayerPayload()))
	headers := size - payload
	segments := (payload + uint64(p.SegmentSize) - 1) / uint64(p.SegmentSize)
	return Traffic{segments, payload + segments*headers}
}

// Capture records what passes a device.
type Capture struct {
	lab     *Lab
	fd      int
	mu      sync.Mutex
	packets []Packet
	stop    sync.Once
	done    chan struct{}
	ended   chan struct{}
}

// Capture records everything that passes a device, until it is stopped or the
// test ends. Packets are seen before ingress and after egress programs.
func (n *Namespace) Capture(device string) *Capture {
	n.lab.tb.Helper()
	c := &Capture{lab: n.lab, done: make(chan struct{}), ended: make(chan struct{})}
	var err error
	n.Do(func() { c.fd, err = packetSocket(n.Index(device), unix.ETH_P_ALL) })
	if err != nil {
		n.lab.tb.Fatalf("capture on %s in %s: %v", device, n.Name, err)
	}
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 128 << 20},
	} {
		if err := unix.SetsockoptInt(c.fd, option.level, option.name, option.value); err != nil {
			n.lab.tb.Fatalf("capture on %s in %s: %v", device, n.Name, err)
		}
	}
	timeout := unix.Timeval{Usec: 20_000}
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		n.lab.tb.Fatalf("capture on %s in %s: %v", device, n.Name, err)
	}
	go c.read()
	n.lab.tb.Cleanup(func() { c.Stop() })
	return c
}

// Packets are those recorded so far; one that has just passed may be missing.
func (c *Capture) Packets() []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.packets[:len(c.packets):len(c.packets)]
}

// Stop ends the recording and returns everything that passed before the call.
// The test fails if the kernel had to drop any of it.
func (c *Capture) Stop() []Packet {
	c.lab.tb.Helper()
	c.stop.Do(func() {
		// A device may never be quiet, so the socket takes nothing more; what it has stays.
		nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
		if err := unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(nothing)), Filter: &nothing[0]}); err != nil {
			c.lab.tb.Errorf("end of a capture: %v", err)
		}
		close(c.done)
		<-c.ended
		statistics, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil || statistics.Drops != 0 {
			c.lab.tb.Errorf("capture is not complete: %+v, %v", statistics, err)
		}
		unix.Close(c.fd)
	})
	return c.Packets()
}

func (c *Capture) read() {
	defer close(c.ended)
	buffer := make([]byte, 1<<17)
	stopping := false
	for {
		size, from, err := unix.Recvfrom(c.fd, buffer, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			// Nothing is left of what came before the call of Stop.
			if stopping && err == unix.EAGAIN {
				return
			}
			select {
			case <-c.done:
				stopping = true
			default:
			}
			continue
		}
		if err != nil {
			return
		}
		packet := decode(buffer[:size])
		if link, ok := from.(*unix.SockaddrLinklayer); ok {
			packet.Outgoing = link.Pkttype == unix.PACKET_OUTGOING
		}
		c.mu.Lock()
		c.packets = append(c.packets, packet)
		c.mu.Unlock()
	}
}

// vnetHeaderLen is the length of struct virtio_net_hdr, which precedes a frame:
// flags, GSO type, and little-endian header length, segment size, checksum start
// and checksum offset.
const vnetHeaderLen = 10

func decode(record []byte) Packet {
	header, frame := record[:vnetHeaderLen], record[vnetHeaderLen:]
	return Packet{
		Packet:      gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Lazy),
		Unfinished:  header[0]&1 != 0,
		SegmentSize: int(binary.NativeEndian.Uint16(header[4:])),
	}
}

// packetSocket opens a socket for whole frames on a device of the calling
// thread's namespace.
func packetSocket(index, protocol int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	bigEndian := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, uint16(protocol)))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian, Ifindex: index}); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}
