// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// redirectAlone is a host of the container topology where tc programs hand all
// packets to the other side, and do nothing else. So it is the least that any
// forwarder at tc can take. The client knows the container's own address.
type redirectAlone struct{ kernelRouting }

func (redirectAlone) name() string { return "redirect alone" }

func (redirectAlone) start(l lane) forwarder {
	forth, back := l.redirect("eth0", "pod0", l.server), l.redirect("pod0", "eth0", l.client)
	return forwarder{stop: func() {
		forth.Close()
		back.Close()
	}}
}

// redirect attaches a program to one device of the forwarder that hands what
// comes there to the peer of another, which is eth0 of a namespace.
func (l lane) redirect(from, to string, peer *lab.Namespace) link.Link {
	addresses := slices.Concat(peer.MAC("eth0"), l.forwarder.MAC(to))
	protocol := int32(binary.NativeEndian.Uint16([]byte{0x08, 0x00}))
	if l.backend.Addr().Is6() {
		protocol = int32(binary.NativeEndian.Uint16([]byte{0x86, 0xdd}))
	}
	offsets := dataOffsets[ebpf.SchedCLS]
	program := loadProgram(l.tb, ebpf.SchedCLS, slices.Concat(asm.Instructions{
		// Neighbours are looked for by broadcast and multicast.
		asm.LoadMem(asm.R2, asm.R1, packetType, asm.Word),
		asm.JNE.Imm(asm.R2, unix.PACKET_HOST, "next"),
		asm.LoadMem(asm.R2, asm.R1, offsets.data, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, offsets.end, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, ethernetHeader),
		asm.JGT.Reg(asm.R4, asm.R3, "next"),
		asm.LoadMem(asm.R5, asm.R2, int16(len(addresses)), asm.Half),
		asm.JNE.Imm(asm.R5, protocol, "next"),
	}, writeHeader(addresses), asm.Instructions{
		asm.Mov.Imm(asm.R1, int32(l.forwarder.Index(to))),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirectPeer.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, -1).WithSymbol("next"),
		asm.Return(),
	}))
	var attached link.Link
	var err error
	l.forwarder.Do(func() {
		attached, err = link.AttachTCX(link.TCXOptions{
			Interface: l.forwarder.Index(from), Program: program, Attach: ebpf.AttachTCXIngress,
		})
	})
	if err != nil {
		l.tb.Fatalf("%s of %s: %v", from, l.forwarder.Name, err)
	}
	return attached
}
