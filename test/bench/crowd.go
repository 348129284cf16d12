// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// crowd is many clients that connect, as far as the programs can tell.
type crowd struct {
	*programBench
	// next is a map with the number of the next client.
	next *ebpf.Map
	// handshake is SYN, SYN-ACK and ACK.
	handshake []fed
}

// crowdSubnet is where the addresses of a crowd begin.
var crowdSubnet = subnet{"10.0.0.0", "2001:db8:10::"}

// portBits is how many bits of a client's number its port has, on top of the
// well-known ones; the others are its address.
const portBits = 14

// newCrowd prepares the packets of a handshake.
func (b *programBench) newCrowd(way programWay) *crowd {
	next, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		b.tb.Fatalf("%v", err)
	}
	b.tb.Cleanup(func() { next.Close() })
	frontend, backend, device := b.ends(way)
	client := netip.AddrPortFrom(b.variant.machine(crowdSubnet, 1), 0)
	request := packet{mac: b.host.MAC("front"), from: client, to: frontend}
	reply := packet{mac: b.host.MAC(device), from: backend, to: client}
	syn, synAck, ack := request.with(segment(1000, 0, "S")), reply.with(segment(5000, 1001, "SA")), request.with(segment(1001, 5001, "A"))
	return &crowd{programBench: b, next: next, handshake: []fed{
		b.feed(way, way.request, "front", syn, nextClient(next, syn.source())...),
		b.feed(way, way.reply, device, synAck, nextClient(next, synAck.destination())...),
		b.feed(way, way.request, "front", ack, nextClient(next, ack.source())...),
	}}
}

// nextClient are instructions for a feeder that make one end of a packet the
// next client.
func nextClient(next *ebpf.Map, end packetEnd) asm.Instructions {
	// Of the address only the last four bytes count up.
	address := end.Addr().AsSlice()
	last := len(address) - 4
	low := binary.BigEndian.Uint32(address[last:])
	return asm.Instructions{
		asm.LoadMapValue(asm.R3, next.FD(), 0),
		asm.LoadMem(asm.R4, asm.R3, 0, asm.DWord),
		asm.Mov.Reg(asm.R5, asm.R4),
		asm.Add.Imm(asm.R5, 1),
		asm.StoreMem(asm.R3, 0, asm.R5, asm.DWord),
		asm.Mov.Reg(asm.R5, asm.R4),
		asm.RSh.Imm(asm.R5, portBits),
		asm.Add.Imm(asm.R5, int32(low)),
		asm.HostTo(asm.BE, asm.R5, asm.Word),
		asm.StoreMem(asm.R2, int16(end.address+last), asm.R5, asm.Word),
		asm.And.Imm(asm.R4, 1<<portBits-1),
		asm.Add.Imm(asm.R4, 1024),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.StoreMem(asm.R2, int16(end.port), asm.R4, asm.Half),
	}
}

// atOnce is how many connections are half open at a time.
const atOnce = 1000

// shakeHands has count clients connect, from the first on, and returns what each
// packet of the handshake takes for one of them, in nanoseconds: the mean.
func (c *crowd) shakeHands(first, count int) []float64 {
	costs := make([]float64, len(c.handshake))
	for batch := first; batch < first+count; batch += atOnce {
		for i, packet := range c.handshake {
			nothing := c.each(packet.null, batch, atOnce, nullVerdicts)
			took := c.each(packet.run, batch, atOnce, packet.verdicts)
			costs[i] += (took - nothing) * atOnce / float64(count)
		}
	}
	return costs
}

// each has a program run once for each of these clients.
func (c *crowd) each(r testRun, first, count int, verdicts []uint32) float64 {
	if err := c.next.Put(uint32(0), uint64(first)); err != nil {
		c.tb.Fatalf("%v", err)
	}
	return c.time(r, count, verdicts...)
}
