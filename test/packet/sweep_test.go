// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
)

// Sweeping forgets flows and fragments that are too old, counts the flows' connections
// off, and leaves all others.
func TestSweep(t *testing.T) {
	// The flow that is two minutes old: see waitForAge.
	const oneWay, datagram, moment = 120 * time.Second, 30 * time.Second, time.Second
	if young := oneWay + 2*moment - time.Duration(monotonic()); young > 0 {
		time.Sleep(young)
	}
	other := between(client.at(40001), host.at(80), udp("?"))
	swept := func(want ctl.Swept) step {
		return does(func(r *run) {
			if got, err := r.instance.Sweep(t.Context()); got != want || err != nil {
				r.Errorf("swept %+v, %v; want %+v", got, err, want)
			}
		})
	}
	connected := func(want int64) step {
		return does(func(r *run) {
			sum := int64(0)
			for _, n := range r.connections() {
				sum += n
			}
			if sum != want {
				r.Errorf("%d connections are counted, want %d", sum, want)
			}
		})
	}
	// older makes all that is there older.
	older := func(by time.Duration) step {
		return does(func(r *run) {
			for _, m := range []*ebpf.Map{r.maps.FlowsEstablished, r.maps.FlowsTransitory} {
				if err := revise(m, func(_ bpf.XfwdTuple, f *bpf.XfwdFlow) { f.LastSeen -= uint64(by) }); err != nil {
					r.Fatal(err)
				}
			}
			if err := revise(r.maps.Fragments, func(_ bpf.XfwdFragmentKey, f *bpf.XfwdFragment) { f.Seen -= uint64(by) }); err != nil {
				r.Fatal(err)
			}
		})
	}
	here := through(client.at(40000), host.at(80), host.at(30080))
	runCases(t, []testCase{{
		name:     "UDP",
		forwards: []string{"80/udp 30080 --balance least-connections"},
		links:    onlyEthernet[:1],
		steps: []step{
			here.asks(big, first(7, 24)).opening(), connected(1),
			older(datagram - moment), swept(ctl.Swept{}),
			older(2 * moment), swept(ctl.Swept{Fragments: 1}), flows{Transitory: 1},
			older(oneWay - datagram - 2*moment), swept(ctl.Swept{}),
			older(2 * moment),
			arrives(other).becomes(between(client.at(40001), host.at(30080), udp("?"))).opening(), connected(2),
			swept(ctl.Swept{Flows: 1}), flows{Transitory: 1}, connected(1),
		},
	}})
}
