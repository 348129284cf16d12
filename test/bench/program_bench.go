// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/xfwd/xfwd/test/lab"
)

// programWay is a way for packets to take: a program for requests and one for
// replies.
type programWay struct {
	title string
	kind  ebpf.ProgramType
	// request and reply are the pins of the programs.
	request, reply string
	// port is the frontend's.
	port uint16
	// elsewhere: the target is behind the host.
	elsewhere bool
	// limit is how many times what a null program takes they may.
	limit float64
}

// toHost and toElsewhere are the common ways.
var (
	toHost      = programWay{"tc, to this host", ebpf.SchedCLS, "xfwd_ingress", "xfwd_egress", 80, false, maxTC}
	toElsewhere = programWay{"tc, to elsewhere", ebpf.SchedCLS, "xfwd_ingress", "xfwd_ingress", 81, true, maxTC}
)

// programWays are all ways.
var programWays = []programWay{
	toHost,
	toElsewhere,
	{"tc, to elsewhere, masqueraded", ebpf.SchedCLS, "xfwd_ingress", "xfwd_ingress", 82, true, maxTC},
	{"XDP, to elsewhere", ebpf.XDP, "xfwd_xdp", "xfwd_xdp", 81, true, maxXDP},
	{"XDP, to elsewhere, masqueraded", ebpf.XDP, "xfwd_xdp", "xfwd_xdp", 82, true, maxXDP},
}

// programBench is client ── host ── pod, whose programs are run.
type programBench struct {
	tb        lab.TB
	network   *lab.Network
	pod       lab.Pod
	xfwd      *lab.XFWD
	variant   variant
	placement placement
	pins      string
}

// newProgramBench publishes what all ways need. The flow table is made for so
// many flows.
func newProgramBench(tb lab.TB, o options, flows int) *programBench {
	n := lab.New(tb).Direct()
	pod := n.Pods(1, 1500)[0]
	n.Host.DefaultRoutes(n.ClientAddr)
	x := n.Host.XFWD()
	x.MaxFlows = fmt.Sprint(flows)
	target := netip.AddrPortFrom(o.variant.of(pod.Addr), backendPort).String()
	x.Add("80/tcp+udp", fmt.Sprint(backendPort), "--xdp", "native")
	x.Add("81/tcp+udp", target)
	x.Add("82/tcp+udp", target, "--source", "masquerade")
	return &programBench{
		tb: tb, network: n, pod: pod, xfwd: x, variant: o.variant, placement: o.placement, pins: x.Status().Pins,
	}
}

// ends are the frontend and the backend of a way, and the device that the
// backend is at.
func (b *programBench) ends(way programWay) (frontend, backend netip.AddrPort, device string) {
	host := b.variant.of(b.network.HostAddr)
	frontend = netip.AddrPortFrom(host, way.port)
	if way.elsewhere {
		return frontend, netip.AddrPortFrom(b.variant.of(b.pod.Addr), backendPort), "pod0"
	}
	return frontend, netip.AddrPortFrom(host, backendPort), "eth0"
}

// verdicts are what the programs of a way return when they have translated.
func (w programWay) verdicts() []uint32 {
	switch {
	case w.kind == ebpf.XDP:
		return []uint32{xdpTx, xdpRedirect}
	case w.elsewhere:
		return []uint32{tcRedirect}
	}
	return []uint32{tcNext}
}

// pinned opens a program as it was loaded.
func (b *programBench) pinned(name string) *ebpf.Program {
	p, err := ebpf.LoadPinnedProgram(filepath.Join(b.pins, "programs", name), nil)
	if err != nil {
		b.tb.Fatalf("%v", err)
	}
	b.tb.Cleanup(func() { p.Close() })
	return p
}

// fed is a program with a packet that is written anew for each run.
type fed struct {
	// run is the program behind its feeder, null a program that does nothing
	// behind the same.
	run, null testRun
	verdicts  []uint32
}

// feed prepares a program of a way for a packet at a device of the host. For
// vary, see newFeeder.
func (b *programBench) feed(way programWay, pin, device string, p packet, vary ...asm.Instruction) fed {
	frame := p.frame(b.tb)
	header := frame[:p.header()]
	index := b.network.Host.Index(device)
	return fed{
		run:      testRun{newFeeder(b.tb, b.pinned(pin), header, vary...), frame, index},
		null:     testRun{newFeeder(b.tb, nullProgram(b.tb, way.kind), header, vary...), frame, index},
		verdicts: way.verdicts(),
	}
}

// time is what one of so many runs takes, in nanoseconds.
func (b *programBench) time(r testRun, times int, verdicts ...uint32) float64 {
	return timed(b.tb, b.network.Host, b.placement, r, times, verdicts)
}
