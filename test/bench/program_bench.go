// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

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

// maxXDP and maxTC are the limits.
const (
	maxXDP = 4
	maxTC  = 5
)

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

// programBench is a host whose programs are run on packets that nobody sends: of
// clients at its device front, which is its way to everywhere, and of a target at
// its device back.
type programBench struct {
	tb        lab.TB
	host      *lab.Namespace
	xfwd      *lab.XFWD
	variant   variant
	placement placement
	pins      string
}

// The subnets of the host's devices, where it is number 1 and its neighbour
// number 2.
var (
	frontSubnet = subnet{"198.18.1.0", "2001:db8:1::"}
	backSubnet  = subnet{"198.18.100.0", "2001:db8:100::"}
)

// newProgramBench publishes what all ways need. The flow table is made for so
// many flows.
func newProgramBench(tb lab.TB, o options, flows int) *programBench {
	l := lab.New(tb)
	b := &programBench{tb: tb, host: l.Namespace("host"), variant: o.variant, placement: o.placement}
	b.host.Forwarding()
	for device, s := range map[string]subnet{"front": frontSubnet, "back": backSubnet} {
		// Its other end, in the same namespace, is what lets XDP send by it. Neither end has XDP
		// where the other leaves checksums to it.
		l.Veth(b.host, device, b.host, device+"-end", 1500)
		for _, end := range []string{device, device + "-end"} {
			b.host.FinishChecksums(end)
		}
		own, neighbour := o.variant.machine(s, 1), o.variant.machine(s, 2)
		b.host.Address(device, netip.PrefixFrom(own, subnetBits(own)))
		err := b.host.Links().NeighSet(&netlink.Neigh{
			LinkIndex: b.host.Index(device), State: netlink.NUD_PERMANENT,
			IP: neighbour.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		})
		if err != nil {
			tb.Fatalf("neighbour %v of %s: %v", neighbour, b.host.Name, err)
		}
	}
	everywhere := netip.IPv4Unspecified()
	if o.variant.ipv6 {
		everywhere = netip.IPv6Unspecified()
	}
	b.host.Route(netip.PrefixFrom(everywhere, 0), o.variant.machine(frontSubnet, 2))

	b.xfwd = b.host.XFWD()
	b.xfwd.MaxFlows = fmt.Sprint(flows)
	target := netip.AddrPortFrom(o.variant.machine(backSubnet, 2), backendPort).String()
	b.xfwd.Add("80/tcp+udp", fmt.Sprint(backendPort))
	b.xfwd.Add("81/tcp+udp", target, "--xdp", "native")
	b.xfwd.Add("82/tcp+udp", target, "--source", "masquerade")
	b.pins = b.xfwd.Status().Pins
	return b
}

// ends are the frontend and the backend of a way, and the device that the
// backend is at.
func (b *programBench) ends(way programWay) (frontend, backend netip.AddrPort, device string) {
	host := b.variant.machine(frontSubnet, 1)
	frontend = netip.AddrPortFrom(host, way.port)
	if way.elsewhere {
		return frontend, netip.AddrPortFrom(b.variant.machine(backSubnet, 2), backendPort), "back"
	}
	return frontend, netip.AddrPortFrom(host, backendPort), "front"
}

// pinned opens a program as it was loaded.
func (b *programBench) pinned(name string) *ebpf.Program {
	pin := filepath.Join(b.pins, "programs", name)
	if _, err := os.Stat(pin + fragments); err == nil {
		pin += fragments
	}
	p, err := ebpf.LoadPinnedProgram(pin, nil)
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
	index := b.host.Index(device)
	return fed{
		run:      testRun{newFeeder(b.tb, b.pinned(pin), header, vary...), frame, index},
		null:     testRun{newFeeder(b.tb, nullProgram(b.tb, way.kind), header, vary...), frame, index},
		verdicts: way.verdicts(),
	}
}

// time is what one of so many runs takes, in nanoseconds. A program that returns
// anything but these verdicts fails.
func (b *programBench) time(r testRun, times int, verdicts ...uint32) float64 {
	nanoseconds, verdict := timed(b.tb, b.host, b.placement, r, times)
	if !slices.Contains(verdicts, verdict) {
		b.tb.Fatalf("%v returned %d, not one of %v", r.program, verdict, verdicts)
	}
	return nanoseconds
}
