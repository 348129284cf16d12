// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleServer:
			exit(load.Serve(netip.MustParseAddrPort(os.Args[2]), os.Stdout))
			return
		case roleClient:
			exit(load.Client(os.Stdin, os.Stdout))
			return
		}
	}
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	exit(err)
	// The lab builds the xfwd that it runs.
	os.Exit(lab.Main(o))
}

// exit ends the program if there is an error.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds  int
	size    float64
	only    []string
	peers   []string
	cpus    string
	output  string
	seed    uint64
	variant variant

	placement placement
}

// onlyAdd is the word of -only for the latency of `xfwd add`.
const onlyAdd = "add"

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	var only, peers string
	f.IntVar(&o.rounds, "rounds", 15, "how often to measure everything")
	f.Float64Var(&o.size, "size", 1, "`factor` for the amount of work in a sample")
	f.StringVar(&only, "only", "", "comma-separated `list` of what to measure: "+strings.Join(measurable(), ", "))
	f.StringVar(&peers, "peers", "", "comma-separated `list` of peers to compare with direct; default: all")
	f.StringVar(&o.cpus, "cpus", "", "`processor` for everything, or CLIENT,SERVER; default: the last, for everything")
	f.StringVar(&o.output, "o", "table", "output `format`: table, json or markdown")
	f.Uint64Var(&o.seed, "seed", rand.Uint64(), "`number` that gives the order")
	f.StringVar(&o.variant.offloads, "offloads", offloadsDefault, "offloads of the veth devices: default, on (with GRO) or off")
	f.BoolVar(&o.variant.ipv6, "6", false, "use IPv6")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.only = measurable()
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, word := range o.only {
		if !slices.Contains(measurable(), word) {
			return o, fmt.Errorf("-only %q: choose from %s", word, strings.Join(measurable(), ", "))
		}
	}
	if peers != "" {
		o.peers = strings.Split(peers, ",")
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", f.Arg(0))
	}
	if o.rounds < 1 || o.size <= 0 {
		return o, errors.New("-rounds and -size must be positive")
	}
	if !slices.Contains([]string{offloadsDefault, offloadsOn, offloadsOff}, o.variant.offloads) {
		return o, fmt.Errorf("-offloads %q: choose default, on or off", o.variant.offloads)
	}
	if outputs[o.output] == nil {
		return o, fmt.Errorf("-o %q: choose table, json or markdown", o.output)
	}
	o.placement, err = newPlacement(o.cpus)
	return o, err
}

// measurable lists the words of -only.
func measurable() []string {
	var words []string
	for _, w := range workloads {
		words = append(words, string(w.kind))
	}
	return append(words, onlyAdd)
}

// Run measures and prints, and returns the exit status.
func (o options) Run() int {
	// A second signal ends the program at once; the next lab sweeps up.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel)
	r, err := o.measure(ctx)
	if err == nil {
		err = outputs[o.output](r, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

func (o options) measure(ctx context.Context) (report, error) {
	r := newReport(o)
	if err := interruptsCounted(); err != nil {
		return r, err
	}
	var chosen []workload
	for _, w := range workloads {
		if slices.Contains(o.only, string(w.kind)) {
			chosen = append(chosen, w.scaled(o.size))
		}
	}
	adds := slices.Contains(o.only, onlyAdd)
	steps := o.rounds * len(chosen) * len(topologies)
	if adds {
		steps += addRuns
	}
	say := newProgress(steps)
	defer say.end()
	if len(chosen) > 0 {
		for _, t := range topologies {
			p := plan{
				topology: t, variant: o.variant, placement: o.placement, workloads: chosen,
				peers: append([]peer{direct{}, directAgain{}}, o.choose(t.peers)...), rounds: o.rounds,
				random: rand.New(rand.NewPCG(o.seed, 0)),
			}
			columns, err := p.run(ctx, say)
			if err != nil {
				return r, fmt.Errorf("%s: %w", t.name, err)
			}
			r.Topologies = append(r.Topologies, newTopologyReport(p, columns))
		}
	}
	if adds {
		var err error
		if r.Latencies, err = addLatencies(ctx, say); err != nil {
			return r, err
		}
	}
	return r, nil
}

// choose leaves those peers that the user named, or all.
func (o options) choose(peers []peer) []peer {
	if o.peers == nil {
		return peers
	}
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool { return !slices.Contains(o.peers, p.name()) })
}
