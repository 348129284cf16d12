// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	"github.com/xfwd/xfwd/internal/ctl"
)

// What the flow table has forgotten for want of room is found out by a sweep, to the entry.
// What packets and commands have deleted is not among it.
func TestEvictedAreCounted(t *testing.T) {
	const flood, entriesOfEach = 1500, 2
	evicted := func(r *run) ctl.Evicted {
		r.Helper()
		if _, err := r.instance.Sweep(t.Context()); err != nil {
			r.Fatal(err)
		}
		m, err := r.instance.Measure(t.Context())
		if err != nil {
			r.Fatal(err)
		}
		return m.Flows.Evicted
	}
	count := func(want int) step {
		return does(func(r *run) {
			there := len(r.table(r.maps.FlowsTransitory))
			if there == 0 && want > 0 {
				r.Fatal("nothing is there after a flood")
			}
			if got := evicted(r); got != (ctl.Evicted{Transitory: uint64(entriesOfEach*want - there)}) {
				r.Errorf("evicted %+v, want none that were established, and %d others", got, entriesOfEach*want-there)
			}
		})
	}
	runCases(t, []testCase{{
		name:     "by a flood",
		forwards: []string{"80 30080"},
		links:    onlyEthernet,
		steps:    []step{does(func(r *run) { r.flood(flood, host.at(80), syn(1)) }), count(flood)},
	}, {
		name:     "not by packets and commands",
		forwards: []string{"80 30080"},
		links:    onlyEthernet,
		steps: slices.Concat(web.handshake(), web.goodbye(), web.handshake(), []step{
			does(func(r *run) {
				if n, err := r.instance.DeleteFlows(t.Context(), ctl.FlowFilter{}, ctl.FlowDeletion{}); n != 1 || err != nil {
					r.Errorf("%d flows are deleted, %v", n, err)
				}
				if got := evicted(r); got != (ctl.Evicted{}) {
					r.Errorf("evicted %+v, want none", got)
				}
			}),
		}, web.handshake(), []step{
			does(func(r *run) {
				r.change(r, ctl.Delete(nil, true), ctl.ExistingReset)
				if got := evicted(r); got != (ctl.Evicted{}) {
					r.Errorf("evicted %+v after the forward has gone, want none", got)
				}
			}),
		}),
	}})
}
