// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/xfwd/xfwd/test/lab"
)

// plan is what to measure in one topology.
type plan struct {
	topology  topology
	variant   variant
	placement placement
	workloads []workload
	// peers begin with direct, to which the others are compared.
	peers  []peer
	rounds int
	random *rand.Rand
}

// column is all samples of one workload.
type column struct {
	workload workload
	// samples are one a round, by the name of the peer. Peers that cannot do
	// the work have none.
	samples map[string][]sample
}

// run takes all samples.
func (p plan) run(ctx context.Context, say *progress) ([]column, error) {
	columns := make([]column, len(p.workloads))
	for i, w := range p.workloads {
		columns[i] = column{w, map[string][]sample{}}
	}
	for round := range p.rounds {
		err := within(func(tb lab.TB) {
			p.round(ctx, tb, columns, func(w workload) { say.step("%s, round %d of %d: %s", p.topology.name, round+1, p.rounds, w.title) })
		})
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return columns, nil
}

// round takes one sample of every workload with every peer, in random order.
func (p plan) round(ctx context.Context, tb lab.TB, columns []column, each func(workload)) {
	s := p.topology.build(lab.New(tb), p.variant, len(p.peers))
	s.tb, s.cpus = tb, p.placement.server
	m := newSampler(s, p.topology.server(s), p.placement)
	defer context.AfterFunc(ctx, m.interrupt)()
	for _, i := range p.random.Perm(len(columns)) {
		w := columns[i].workload
		each(w)
		for _, j := range p.random.Perm(len(p.peers)) {
			peer := p.peers[j]
			if !peer.carries(w.kind) {
				continue
			}
			sample := m.take(w, peer, s.lanes[j])
			if ctx.Err() != nil {
				tb.Fatalf("stopped: %v", context.Cause(ctx))
			}
			columns[i].samples[peer.name()] = append(columns[i].samples[peer.name()], sample)
		}
	}
}

// ratio is what a peer costs relative to another, paired by round.
func (c column) ratio(p, base peer) spread {
	var ratios []float64
	bases := c.samples[base.name()]
	for round, s := range c.samples[p.name()] {
		ratios = append(ratios, s.cpu.Seconds()/bases[round].cpu.Seconds())
	}
	return newSpread(ratios)
}

// directCost is what a unit costs without a forwarder, in nanoseconds.
func (c column) directCost() spread {
	var costs []float64
	for _, s := range c.samples[direct{}.name()] {
		costs = append(costs, float64(s.cpu.Nanoseconds())/float64(c.workload.units))
	}
	return newSpread(costs)
}

// shares says, over all samples, what part of the processor time the kernel's
// softirq threads had, and what part of the time that passed had no process of
// ours running.
func (c column) shares() (softirqd, others float64) {
	var cpu, ofSoftirqd, wall float64
	for _, samples := range c.samples {
		for _, s := range samples {
			cpu += s.cpu.Seconds()
			ofSoftirqd += s.softirqd.Seconds()
			wall += s.wall.Seconds()
		}
	}
	return ofSoftirqd / cpu, max(0, 1-cpu/wall)
}
