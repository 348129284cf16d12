// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Both ends of the traffic are this program in another role.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == roleClient || os.Args[1] == roleServer) {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Every kind of work gets done, over every peer that needs nothing built, and
// its cost is that of several processes.
func TestSamples(t *testing.T) {
	placement, err := newPlacement("")
	if err != nil {
		t.Fatal(err)
	}
	for _, topology := range topologies {
		peers := []peer{direct{}}
		for _, p := range topology.peers {
			if !slices.Contains([]peer{xfwd{}, xfwdBystander{}}, p) {
				peers = append(peers, p)
			}
		}
		for _, v := range []variant{{offloads: offloadsDefault}, {offloads: offloadsOff, ipv6: true}} {
			t.Run(fmt.Sprintf("%s/%+v", topology.name, v), func(t *testing.T) {
				s := topology.build(lab.New(t), v.within(topology), len(peers))
				s.tb, s.cpus = t, placement.server
				m := newSampler(s, topology.server(s), placement)
				for _, w := range workloads {
					if !slices.Contains(topology.kinds, w.kind) {
						continue
					}
					for i, p := range peers {
						if !p.carries(w.kind) {
							continue
						}
						got := m.take(w.scaled(0.01), p, s.lanes[i])
						if got.cpu <= 0 || got.cpu > 2*got.wall || got.softirqd > got.cpu {
							t.Errorf("%s, %s: %+v", w.title, p.name(), got)
						}
					}
				}
			})
		}
	}
}
