// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// setupTick is a tick of setup_clock.
const setupTick = 256 * time.Nanosecond

// lastSetupBucket is the index of the last bucket, which has all that took longer, too.
const lastSetupBucket = xfwd.SetupFirst + len(bpf.XfwdSetupTimes{}.Buckets) - 1

// setup is what is known of the setup times of port 80's forward.
func (r *run) setup() xfwd.SetupTimes {
	r.Helper()
	id, _ := r.forwardOf(80)
	all, err := r.set.SetupTimes()
	if err != nil {
		r.Fatal(err)
	}
	return all[id]
}

// bound is the upper bound of a bucket.
func bound(index int) time.Duration {
	return time.Duration(math.Exp2(float64(index)/4) * float64(time.Second))
}

// The time from the SYN to the SYN-ACK is counted, once a connection: in the bucket of
// the native histogram that it belongs to.
func TestSetupTimes(t *testing.T) {
	// older is a step that makes half-open connections older by what cannot be waited for.
	older := func(by time.Duration) step {
		return does(func(r *run) {
			err := revise(r.maps.FlowsTransitory, func(_ bpf.XfwdTuple, f *bpf.XfwdFlow) { f.Opened -= uint32(by / setupTick) })
			if err != nil {
				r.Fatal(err)
			}
		})
	}
	// fresh is a step that forgets what cases before have left.
	fresh := does(func(r *run) {
		id, _ := r.forwardOf(80)
		if err := r.set.ResetSetupTimes([]uint32{id}); err != nil {
			r.Fatal(err)
		}
	})
	counts := func(want int) step {
		return does(func(r *run) {
			if got := r.setup(); got.Connections() != uint64(want) {
				r.Errorf("%d connections are counted, want %d: %+v", got.Connections(), want, got)
			}
		})
	}
	var cases []testCase
	for _, took := range []time.Duration{0, 50 * time.Microsecond, time.Millisecond, 20 * time.Millisecond, time.Second, 3 * time.Second, 63 * time.Second, 4 * time.Minute} {
		cases = append(cases, testCase{
			name:     took.String(),
			forwards: []string{"80 30080"},
			steps: []step{fresh, does(func(r *run) {
				before := time.Now()
				web.asks(syn(1000)).opening().take(r)
				older(took).take(r)
				opened := time.Since(before)
				// A later SYN does not begin anew, and a later SYN-ACK is not the first.
				web.asks(syn(1000)).take(r)
				web.answers(synAck(5000, 1001)).take(r)
				most := took + time.Since(before) + setupTick
				web.answers(synAck(5000, 1001)).take(r)
				web.asks(ack(1001, 5001)).take(r)
				got := r.setup()
				if got.Connections() != 1 {
					r.Fatalf("%d connections are counted, want 1: %+v", got.Connections(), got)
				}
				least := max(0, took-setupTick)
				if got.Sum < least || got.Sum > most {
					r.Errorf("it took %v, want from %v to %v, of which %v went by before the answer", got.Sum, least, most, opened)
				}
				index := slices.Collect(maps.Keys(got.Buckets))[0]
				if index == lastSetupBucket {
					if got.Sum < bound(index-1) {
						r.Errorf("%v is in the last bucket", got.Sum)
					}
				} else if got.Sum > bound(index) || (index > xfwd.SetupFirst && got.Sum <= bound(index-1)) {
					r.Errorf("%v is counted as from %v to %v", got.Sum, bound(index-1), bound(index))
				}
			})},
		})
	}
	cases = append(cases, testCase{
		name:     "refused",
		forwards: []string{"80 30080"},
		steps: []step{
			fresh, web.asks(syn(1000)).opening(), web.answers(segment{flags: "R.", ack: 1001}), counts(0),
		},
	}, testCase{
		name:     "without a SYN",
		forwards: []string{"80 30080"},
		steps:    []step{fresh, web.asks(ack(1000, 5000)).opening(), web.answers(ack(5000, 1001)), counts(0)},
	}, testCase{
		name:     "UDP",
		forwards: []string{"80/udp 30080"},
		steps:    []step{web.asks(udp("?")).opening(), web.answers(udp("!")), counts(0)},
	})
	runCases(t, cases)
}

// Each time is in its bucket: from a tick to hours, a bit before each bound and after.
func TestSetupBuckets(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t)
	w.runCases(t, []testCase{{
		name:     "all",
		forwards: []string{"80 30080"},
		families: onlyIPv4,
		links:    onlyEthernet[:1],
		steps: []step{does(func(r *run) {
			port := 1024
			for index := -50; index <= 26; index++ {
				for _, share := range []float64{0.97, 1.03} {
					port++
					took := time.Duration(share * float64(bound(index)))
					before := r.setup()
					c := through(client.at(port), host.at(80), host.at(30080))
					c.asks(syn(1000)).opening().take(r)
					err := revise(r.maps.FlowsTransitory, func(key bpf.XfwdTuple, f *bpf.XfwdFlow) {
						if key.SourcePort == kernelPort(port) {
							f.Opened -= uint32(took / setupTick)
						}
					})
					if err != nil {
						r.Fatal(err)
					}
					c.answers(synAck(5000, 1001)).take(r)
					r.mustHaveGrown(before, r.setup())
				}
			}
		})},
	}})
}

// mustHaveGrown fails the test unless one connection came, in the bucket of its time.
func (r *run) mustHaveGrown(before, after xfwd.SetupTimes) {
	r.Helper()
	took := after.Sum - before.Sum
	want := max(xfwd.SetupFirst, int(math.Ceil(4*math.Log2(took.Seconds()))))
	want = min(want, lastSetupBucket)
	for index, n := range after.Buckets {
		if grown := n - before.Buckets[index]; (index == want) != (grown == 1) || grown > 1 {
			r.Fatalf("%v is counted in bucket %d, want %d", took, index, want)
		}
	}
	if after.Connections() != before.Connections()+1 {
		r.Fatalf("%d connections are counted after %d", after.Connections(), before.Connections())
	}
}
