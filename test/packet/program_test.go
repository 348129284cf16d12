// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// hook is where a program stands.
type hook int

const (
	ingress hook = iota
	egress
	early // XDP
	port  // ingress of a bridge's port
	portEgress
	bridgeEgress
)

func (h hook) String() string {
	return [...]string{"ingress", "egress", "XDP", "port", "egress of a port", "egress of a bridge"}[h]
}

// place is where a program runs: each kind of hook and link has one.
type place struct {
	hook hook
	link linkLayer
}

// programs are those that see packets, ready for test runs.
type programs map[place]*ebpf.Program

// names of the programs.
var names = map[place]string{
	{ingress, ethernet}: "xfwd_ingress",
	{egress, ethernet}:  "xfwd_egress",
	{ingress, raw}:      "xfwd_ingress_raw",
	{egress, raw}:       "xfwd_egress_raw",
	{port, ethernet}:    "xfwd_port",

	{portEgress, ethernet}:   "xfwd_port_egress",
	{bridgeEgress, ethernet}: "xfwd_bridge_egress",

	{early, driver}:   "xfwd_xdp",
	{ingress, driver}: "xfwd_ingress",
	{egress, driver}:  "xfwd_egress",
}

// ready prepares programs, by name, for test runs.
//
// A test run takes the first bytes of every packet for an Ethernet header, and
// by it finds a packet without one to be another host's. So those programs run
// behind one that says what a device without a link layer says: it is ours.
func ready(tb lab.TB, all map[string]*ebpf.Program) programs {
	tb.Helper()
	ready := make(programs)
	for place, name := range names {
		ready[place] = all[name]
		if place.link == raw {
			ready[place] = behind(tb, all[name], toThisHost()...)
		}
	}
	return ready
}

// toThisHost sets the packet's type to PACKET_HOST.
func toThisHost() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R2, 0),
		asm.FnSkbChangeType.Call(),
	}
}

// behind returns a program that runs instructions, which find the context in R1
// and R6, and then goes on as the program p.
func behind(tb lab.TB, p *ebpf.Program, before ...asm.Instruction) *ebpf.Program {
	tb.Helper()
	return behindAs(tb, p, ebpf.ProgramSpec{Type: ebpf.SchedCLS}, before...)
}

// behindAs is behind for a program of some kind.
func behindAs(tb lab.TB, p *ebpf.Program, spec ebpf.ProgramSpec, before ...asm.Instruction) *ebpf.Program {
	tb.Helper()
	const unreachable = 77
	slots, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { slots.Close() })
	if err := slots.Put(uint32(0), p); err != nil {
		tb.Fatalf("%v", err)
	}
	spec.Instructions = append(asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}, before...)
	spec.Instructions = append(spec.Instructions,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, slots.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, unreachable),
		asm.Return(),
	)
	return loadAs(tb, spec)
}

// load loads a tc program.
func load(tb lab.TB, instructions asm.Instructions) *ebpf.Program {
	tb.Helper()
	return loadAs(tb, ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: instructions})
}

func loadAs(tb lab.TB, spec ebpf.ProgramSpec) *ebpf.Program {
	tb.Helper()
	spec.License = "Dual BSD/GPL"
	p, err := ebpf.NewProgram(&spec)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { p.Close() })
	return p
}

// null returns a program that does nothing.
func null(tb lab.TB) *ebpf.Program {
	tb.Helper()
	return load(tb, asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()})
}

// nullXDP returns an XDP program that does nothing.
func nullXDP(tb lab.TB) *ebpf.Program {
	tb.Helper()
	return nullLikeXDP(tb, ebpf.ProgramSpec{Type: ebpf.XDP})
}

// nullLikeXDP returns one of the kind of another.
func nullLikeXDP(tb lab.TB, spec ebpf.ProgramSpec) *ebpf.Program {
	tb.Helper()
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, int32(pass)), asm.Return()}
	return loadAs(tb, spec)
}

// kindOfXDP is the kind of an XDP program: only programs of the same go on as each
// other.
func kindOfXDP(tb lab.TB, p *ebpf.Program) ebpf.ProgramSpec {
	tb.Helper()
	info, err := p.Info()
	if err != nil {
		tb.Fatalf("%v", err)
	}
	spec := ebpf.ProgramSpec{Type: ebpf.XDP, AttachType: ebpf.AttachXDP}
	if info.Name == "xfwd_xdp_frags" {
		spec.Flags = unix.BPF_F_XDP_HAS_FRAGS
	}
	return spec
}

// skBuff is the kernel's struct __sk_buff, as far as a test run heeds it.
type skBuff struct {
	_       [40]byte
	Ifindex uint32
	_       [120]byte
	GSOSegs uint32
	_       [8]byte
	GSOSize uint32
	_       [12]byte
}

// xdpMD is the kernel's struct xdp_md.
type xdpMD struct {
	Data, DataEnd, DataMeta                     uint32
	IngressIfindex, RxQueueIndex, EgressIfindex uint32
}

// runFlags returns the flag of test runs that has the kernel compute a packet's
// checksum before (CHECKSUM_COMPLETE) and compare it afterwards, or none before
// Linux 6.16.
func runFlags(tb lab.TB) uint32 {
	tb.Helper()
	frame := make([]byte, 64)
	_, err := null(tb).Run(&ebpf.RunOptions{Data: frame, Flags: unix.BPF_F_TEST_SKB_CHECKSUM_COMPLETE})
	if errors.Is(err, unix.EINVAL) {
		return 0
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return unix.BPF_F_TEST_SKB_CHECKSUM_COMPLETE
}

// runsXDP says whether the kernel runs XDP programs for tests as if a frame had come
// by a device, as it does since Linux 5.14.
func runsXDP(tb lab.TB) bool {
	tb.Helper()
	frame := make([]byte, 64)
	_, err := nullXDP(tb).Run(&ebpf.RunOptions{Data: frame, Context: xdpMD{DataEnd: uint32(len(frame))}})
	if err != nil && !errors.Is(err, unix.EINVAL) {
		tb.Fatalf("%v", err)
	}
	return err == nil
}
