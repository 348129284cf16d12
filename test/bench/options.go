// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// options are the flags.
type options struct {
	rounds int
	size   float64
	// only, peers and topologies are words from the vocabularies below.
	only, peers, topologies []string
	cpus                    string
	placement               placement
	variant                 variant
	output                  string
	seed                    uint64
}

// Words of -only for what is not traffic.
const (
	onlyPrograms = "programs" // what the programs take for one packet
	onlyFlows    = "flows"    // a full flow table
	onlyAdd      = "add"      // the latency of `xfwd add`
)

func parseOptions(args []string) (options, error) {
	o := options{output: "table", variant: variant{offloads: offloadsDefault}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 9, "how often to measure everything")
	f.Float64Var(&o.size, "size", 1, "`factor` for the amount of work in a sample")
	several(f, &o.only, "only", "what to measure", kindNames())
	several(f, &o.peers, "peers", "what to compare with direct", peerNames())
	several(f, &o.topologies, "topologies", "where to measure", topologyNames())
	one(f, &o.variant.offloads, "offloads", "offloads of the veth devices", []string{offloadsDefault, offloadsOn, offloadsOff})
	one(f, &o.output, "o", "output format", []string{"table", "json", "markdown"})
	f.StringVar(&o.cpus, "cpus", "", "`processor` for everything, or CLIENT,SERVER; default: the last one, for everything")
	f.BoolVar(&o.variant.ipv6, "6", false, "use IPv6")
	f.Uint64Var(&o.seed, "seed", rand.Uint64(), "`number` that determines the order of the samples")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", f.Arg(0))
	}
	if o.rounds < 1 || o.size <= 0 {
		return o, errors.New("-rounds and -size must be positive")
	}
	var err error
	o.placement, err = newPlacement(o.cpus)
	return o, err
}

// one defines a flag that is one of some words.
func one(f *flag.FlagSet, to *string, name, usage string, words []string) {
	f.Func(name, fmt.Sprintf("%s, `one` of: %s (default %s)", usage, strings.Join(words, ", "), *to), func(text string) error {
		*to = text
		return known(words, text)
	})
}

// several defines a flag that is a list of some words, all of them by default.
func several(f *flag.FlagSet, to *[]string, name, usage string, words []string) {
	*to = words
	f.Func(name, fmt.Sprintf("%s, comma-separated `words` of: %s (default all)", usage, strings.Join(words, ", ")), func(text string) error {
		*to = strings.Split(text, ",")
		return known(words, *to...)
	})
}

func known(words []string, chosen ...string) error {
	for _, word := range chosen {
		if !slices.Contains(words, word) {
			return fmt.Errorf("choose from %s", strings.Join(words, ", "))
		}
	}
	return nil
}

func kindNames() []string {
	var names []string
	for _, w := range workloads {
		names = append(names, string(w.kind))
	}
	return append(names, onlyPrograms, onlyFlows, onlyAdd)
}

func topologyNames() []string {
	var names []string
	for _, t := range topologies {
		names = append(names, t.name)
	}
	return names
}

func peerNames() []string {
	var names []string
	for _, t := range topologies {
		for _, p := range t.peers {
			if !slices.Contains(names, p.name()) {
				names = append(names, p.name())
			}
		}
	}
	return names
}

// plans are what the flags choose of all topologies.
func (o options) plans() []plan {
	var plans []plan
	for _, t := range topologies {
		if !slices.Contains(o.topologies, t.name) {
			continue
		}
		p := plan{
			topology: t, variant: o.variant.within(t), placement: o.placement, rounds: o.rounds,
			peers:  []peer{direct{}, directAgain{}},
			random: rand.New(rand.NewPCG(o.seed, 0)),
		}
		for _, w := range workloads {
			if slices.Contains(o.only, string(w.kind)) && slices.Contains(t.kinds, w.kind) {
				p.workloads = append(p.workloads, w.in(p.variant).scaled(o.size))
			}
		}
		for _, peer := range t.peers {
			if slices.Contains(o.peers, peer.name()) {
				p.peers = append(p.peers, peer)
			}
		}
		if len(p.workloads) > 0 {
			plans = append(plans, p)
		}
	}
	return plans
}
