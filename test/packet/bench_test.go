// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// BenchmarkNull is the floor: what the test run itself costs. As in the others,
// the time is that of one packet by the kernel's own clock, with everything in
// the processor's cache.
func BenchmarkNull(b *testing.B) {
	newRun(b).benchmark(null(b), web.request(data(1001, 5001, "hello")))
}

// A test run gives a program the same packet again and again, as it has left it.
// So these forwards lead to each other's frontends: each time the packet is one
// of a known flow, and is rewritten.
var backAndForth = []string{"80/tcp+udp 30080", "30080/tcp+udp 80"}

func BenchmarkKnownFlow(b *testing.B) {
	back := through(web.client, web.target, web.frontend)
	opened := append(web.handshake(), back.handshake()...)
	for _, c := range []connection{web, back} {
		opened = append(opened, c.asks(udp("?")).opening(), c.answers(udp("!")), c.asks(udp("?")))
	}
	for _, c := range []struct {
		name string
		hook hook
		packet
	}{
		{"TCP/ingress", ingress, web.request(data(1001, 5001, "hello"))},
		{"TCP/egress", egress, web.answer(data(5001, 1001, "hello"))},
		{"UDP/ingress", ingress, web.request(udp("hello"))},
		{"UDP/egress", egress, web.answer(udp("hello"))},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRun(b, backAndForth...)
			for _, s := range opened {
				s.take(r)
			}
			counted := r.benchmark(r.programs[place{c.hook, ethernet}], c.packet)
			if counted.Traffic.ForwardPackets+counted.Traffic.ReversePackets < uint64(b.N) {
				b.Errorf("not all packets were of a flow: %+v", counted)
			}
		})
	}
}

// BenchmarkUnrelated is a packet that has nothing to do with any forward, as most
// packets of a host.
func BenchmarkUnrelated(b *testing.B) {
	for _, h := range []hook{ingress, egress} {
		b.Run(h.String(), func(b *testing.B) {
			r := newRun(b, backAndForth...)
			p := between(client.at(40000), host.at(443), data(1, 1, "hello"))
			counted := r.benchmark(r.programs[place{h, ethernet}], p)
			if counted.Reasons["no-frontend"] < uint64(b.N) {
				b.Errorf("not all packets were unrelated: %+v", counted)
			}
		})
	}
}

// BenchmarkNewFlow is the first packet of a flow. The flow table is full, so each
// pushes out another flow. They come from random ports, which takes a program in
// front: what that costs shows in the runs of null.
func BenchmarkNewFlow(b *testing.B) {
	for name, p := range map[string]packet{"TCP": web.request(syn(1000)), "UDP": web.request(udp("hello"))} {
		b.Run(name+"/null", func(b *testing.B) {
			newRun(b).benchmark(behind(b, null(b), fromAnyPort()...), p)
		})
		b.Run(name+"/ingress", func(b *testing.B) {
			r := newRun(b, "80/tcp+udp 30080")
			counted := r.benchmark(behind(b, r.programs[place{ingress, ethernet}], fromAnyPort()...), p)
			// Now and then a port comes again before its flow is forgotten.
			if counted.Traffic.Opened < uint64(b.N)*9/10 {
				b.Errorf("few packets made a flow: %+v", counted)
			}
		})
	}
}

// fromAnyPort has an IPv4 packet come from a random port, for port 80. Its
// checksum, which nobody checks, is wrong then.
func fromAnyPort() asm.Instructions {
	const sourcePort = 14 + 20
	return asm.Instructions{
		asm.FnGetPrandomU32.Call(),
		asm.StoreMem(asm.R10, -4, asm.R0, asm.Half),
		asm.StoreImm(asm.R10, -2, 0, asm.Byte),
		asm.StoreImm(asm.R10, -1, 80, asm.Byte),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, sourcePort),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, -4),
		asm.Mov.Imm(asm.R4, 4),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
	}
}

// newRun is for a benchmark, in IPv4 over Ethernet.
func newRun(b *testing.B, lines ...string) *run {
	b.Helper()
	r := &run{TB: b, world: borrowWorld(b), family: 4, link: ethernet, chosen: chosen}
	r.start(b, r.family, lines)
	return r
}

// benchmark runs a program b.N times on a packet that arrives at the loopback
// device, for a benchmark cannot choose another, and returns what was counted.
func (r *run) benchmark(program *ebpf.Program, p packet) counted {
	r.Helper()
	b := r.TB.(*testing.B)
	loopback := make(net.HardwareAddr, 6)
	frame := r.link.frame(p, r.family, loopback)
	before := r.counted()
	var perPacket time.Duration
	var err error
	r.host.Do(func() {
		b.ResetTimer()
		_, perPacket, err = program.Benchmark(frame, b.N, b.ResetTimer)
		b.StopTimer()
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(perPacket.Nanoseconds()), "ns/op")
	return r.counted().since(before)
}
