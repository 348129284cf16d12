// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/test/lab"
)

// programRuns is how often a program runs for one sample: some hundredths of a
// second.
const programRuns = 200_000

// passage is one packet of a known flow, again and again.
type passage struct {
	fed
	conversation *conversation
	// nanoseconds and ratios to a null program are one a round.
	nanoseconds, ratios []float64
}

// programCosts measures what programs take for a packet of a flow that they
// know, beside a program that does nothing.
func (o options) programCosts(ctx context.Context, say *progress) (report *programReport, err error) {
	err = within(func(tb lab.TB) {
		b := newProgramBench(tb, o, 4096)
		null := map[ebpf.ProgramType]testRun{}
		nulls := map[ebpf.ProgramType][]float64{}
		for _, kind := range []ebpf.ProgramType{ebpf.SchedCLS, ebpf.XDP} {
			null[kind] = testRun{nullProgram(tb, kind), make([]byte, 64), b.host.Index("front")}
		}
		rows := make([][]*passage, len(programWays))
		for i, way := range programWays {
			rows[i] = b.passages(way, uint16(40000+10*i))
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

// passages are a request and a reply over TCP, and over UDP, of a client with
// this port.
func (b *programBench) passages(way programWay, port uint16) []*passage {
	client := netip.AddrPortFrom(b.variant.machine(frontSubnet, 2), port)
	var passages []*passage
	for _, protocol := range []string{"tcp", "udp"} {
		c := b.converse(way, protocol, client)
		passages = append(passages,
			&passage{fed: b.feed(way, way.request, "front", c.request), conversation: c},
			&passage{fed: b.feed(way, way.reply, c.device, c.reply), conversation: c})
	}
	return passages
}

// sample adds a round's figures to a passage, and returns what a null program
// takes.
func (b *programBench) sample(p *passage, null testRun) float64 {
	nothing := b.time(null, programRuns, nullVerdicts...)
	took := b.whileFresh(p) - b.time(p.null, programRuns, nullVerdicts...) + nothing
	p.nanoseconds = append(p.nanoseconds, took)
	p.ratios = append(p.ratios, took/nothing)
	return nothing
}

// whileFresh is what the passage takes. XDP leaves a packet to tc when the next
// hop that it knows has become too old; then tc renews it, and all is done again.
func (b *programBench) whileFresh(p *passage) float64 {
	p.conversation.continues()
	nanoseconds, verdict := timed(b.tb, b.host, b.placement, p.run, programRuns)
	if p.conversation.way.kind == ebpf.XDP && verdict == xdpPass {
		p.conversation.continues()
		return b.time(p.run, programRuns, p.verdicts...)
	}
	if !slices.Contains(p.verdicts, verdict) {
		b.tb.Fatalf("%v returned %d, not one of %v", p.run.program, verdict, p.verdicts)
	}
	return nanoseconds
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
