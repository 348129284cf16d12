// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// A test run gives a program the packet as the run before has left it:
// translated, and with one hop less to live. A feeder is a program that is
// repeated in its place. It writes the packet anew, as it arrives, and goes on as
// that program. What the feeder itself costs is known from one that goes on as
// null.

// Verdicts of programs.
const (
	tcNext      = ^uint32(0) // TCX_NEXT, TC_ACT_UNSPEC: -1
	tcRedirect  = 7          // TC_ACT_REDIRECT
	xdpPass     = 2
	xdpTx       = 3
	xdpRedirect = 4
	// lost is what a feeder returns that could not go on.
	lost = 77
)

// nullVerdicts are what null programs return.
var nullVerdicts = []uint32{tcNext, xdpPass}

// dataOffsets are where programs of a type find the beginning and the end of
// the packet in their context: struct __sk_buff or struct xdp_md.
var dataOffsets = map[ebpf.ProgramType]struct{ data, end int16 }{
	ebpf.SchedCLS: {76, 80},
	ebpf.XDP:      {0, 4},
}

// Where struct __sk_buff has the fields pkt_type and tc_index.
const (
	packetType = 4
	tcIndex    = 44
)

// nullProgram does nothing, at any hook.
func nullProgram(tb lab.TB, kind ebpf.ProgramType) *ebpf.Program {
	verdict := int32(-1)
	if kind == ebpf.XDP {
		verdict = xdpPass
	}
	return loadProgram(tb, kind, asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()})
}

func loadProgram(tb lab.TB, kind ebpf.ProgramType, instructions asm.Instructions) *ebpf.Program {
	spec := &ebpf.ProgramSpec{Type: kind, License: "Dual BSD/GPL", Instructions: instructions}
	if kind == ebpf.XDP {
		spec.AttachType = ebpf.AttachXDP
		spec.Flags = xdpFlags()
	}
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { p.Close() })
	return p
}

// fragments ends the name of the XDP program that takes packets of several
// buffers, which is the one that newer kernels have. Only programs of the same
// kind can go on as each other.
const fragments = "_frags"

// xdpFlags are those of the kernel's kind.
func xdpFlags() uint32 {
	if features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil {
		return unix.BPF_F_XDP_HAS_FRAGS
	}
	return 0
}

// newFeeder makes the feeder of a program. Each packet has the header of a
// frame, and then what vary does to it: it finds the packet in R2, may use all
// registers but R2 and R6, and must not call.
func newFeeder(tb lab.TB, of *ebpf.Program, header []byte, vary ...asm.Instruction) *ebpf.Program {
	next, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { next.Close() })
	if err := next.Put(uint32(0), of); err != nil {
		tb.Fatalf("%v", err)
	}
	offsets := dataOffsets[of.Type()]
	feeder := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R1, offsets.data, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, offsets.end, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, int32(len(header))),
		asm.JGT.Reg(asm.R4, asm.R3, "lost"),
	}
	if of.Type() == ebpf.SchedCLS {
		// xfwd marks what it has sent on, and leaves alone what has its mark.
		feeder = append(feeder, asm.StoreImm(asm.R6, tcIndex, 0, asm.Word))
	}
	feeder = append(feeder, writeHeader(header)...)
	feeder = append(feeder, vary...)
	feeder = append(feeder,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, next.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, lost).WithSymbol("lost"),
		asm.Return(),
	)
	return loadProgram(tb, of.Type(), feeder)
}

// writeHeader stores the header of a frame at R2. Each field is stored as a
// whole, as programs load them: a processor has to wait for a load from two
// stores that it has just made.
func writeHeader(header []byte) asm.Instructions {
	var stores asm.Instructions
	for at := 0; at < len(header); {
		size := 4
		if at+size > len(header) || at < ethernetHeader && at+size > ethernetHeader {
			size = 2
		}
		var word [4]byte
		copy(word[:], header[at:at+size])
		value, width := int64(int32(binary.NativeEndian.Uint32(word[:]))), asm.Word
		if size == 2 {
			value, width = int64(binary.NativeEndian.Uint16(word[:])), asm.Half
		}
		stores = append(stores, asm.StoreImm(asm.R2, int16(at), value, width))
		at += size
	}
	return stores
}
