// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// programRuns is how often a program runs for one sample: some hundredths of a
// second, in which no next hop becomes too old.
const programRuns = 200_000

// maxXDP and maxTC are how many times what a null program takes xfwd's may, for a
// packet of a flow that it knows.
const (
	maxXDP = 4
	maxTC  = 5
)

// passage is one packet of a known flow, again and again.
type passage struct {
	fed
	// keep has packets of the same flow pass for real.
	keep func() error
	// nanoseconds and ratios to a null program are one a round.
	nanoseconds, ratios []float64
}

// programCosts measures what programs take for a packet of a flow that they
// know, beside a program that does nothing.
func (o options) programCosts(ctx context.Context, say *progress) (report *programReport, err error) {
	err = within(func(tb lab.TB) {
		b := newProgramBench(tb, o, 4096)
		for _, server := range []*lab.Namespace{b.network.Host, b.pod.Namespace} {
			for _, protocol := range []string{"tcp", "udp"} {
				server.Echo(protocol, fmt.Sprintf(":%d", backendPort))
			}
		}
		null := map[ebpf.ProgramType]testRun{}
		nulls := map[ebpf.ProgramType][]float64{}
		for _, kind := range []ebpf.ProgramType{ebpf.SchedCLS, ebpf.XDP} {
			null[kind] = testRun{nullProgram(tb, kind), make([]byte, 64), b.network.Host.Index("eth0")}
		}
		rows := make([][]*passage, len(programWays))
		for i, way := range programWays {
			rows[i] = b.passages(way)
		}
		random := rand.New(rand.NewPCG(o.seed, 0))
		for round := range o.rounds {
			if ctx.Err() != nil {
				tb.Fatalf("stopped: %v", context.Cause(ctx))
			}
			say.step("programs, round %d of %d", round+1, o.rounds)
			for _, i := range random.Perm(len(rows)) {
				kind := programWays[i].kind
				for _, p := range rows[i] {
					nulls[kind] = append(nulls[kind], b.sample(p, null[kind]))
				}
			}
		}
		b.verify(o.rounds)
		report = newProgramReport(rows, nulls)
	})
	return report, err
}

// passages are a request and a reply over TCP, and over UDP.
func (b *programBench) passages(way programWay) []*passage {
	frontend, backend, device := b.ends(way)
	host := b.network.Host
	var passages []*passage
	for _, protocol := range []string{"tcp", "udp"} {
		conn := b.network.Client.MustConnect(protocol, frontend)
		keep := func() error { return conn.Echo([]byte("still here")) }
		// It is the second question that confirms a UDP flow.
		if err := keep(); err != nil {
			b.tb.Fatalf("%s, %s: %v", way.title, protocol, err)
		}
		request := packet{mac: host.MAC("eth0"), from: conn.Local(), to: frontend, payload: 64}
		reply := packet{mac: host.MAC(device), from: backend, to: conn.Client, payload: 64}
		if protocol == "tcp" {
			request.transport, reply.transport = segment(1, 1, "PA"), segment(1, 1, "PA")
		} else {
			request.transport, reply.transport = &layers.UDP{}, &layers.UDP{}
		}
		passages = append(passages,
			&passage{fed: b.feed(way, way.request, "eth0", request), keep: keep},
			&passage{fed: b.feed(way, way.reply, device, reply), keep: keep})
	}
	return passages
}

// sample adds a round's figures to a passage, and returns what a null program
// takes.
func (b *programBench) sample(p *passage, null testRun) float64 {
	if err := p.keep(); err != nil {
		b.tb.Fatalf("%v: %v", p.run.program, err)
	}
	nothing := b.time(null, programRuns, nullVerdicts...)
	took := b.time(p.run, programRuns, p.verdicts...) - b.time(p.null, programRuns, nullVerdicts...) + nothing
	p.nanoseconds = append(p.nanoseconds, took)
	p.ratios = append(p.ratios, took/nothing)
	return nothing
}

// verify fails unless every packet was translated, and counted: a program that
// leaves one alone may return the same.
func (b *programBench) verify(rounds int) {
	want := map[uint16]uint64{}
	for _, way := range programWays {
		want[way.port] += uint64(rounds) * programRuns
	}
	for port, packets := range want {
		for _, protocol := range []string{"tcp", "udp"} {
			frontend := fmt.Sprintf("%d/%s", port, protocol)
			got := b.xfwd.Counters(frontend)
			if got.Forward.Packets < packets || got.Reverse.Packets < packets {
				b.tb.Fatalf("%s: not all of %d packets were translated: %+v", frontend, packets, got)
			}
		}
	}
}
