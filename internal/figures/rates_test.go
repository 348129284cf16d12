// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/internal/ctl"
)

// counted is a forward to these backends, each of which has had so many packets.
func counted(t *testing.T, packets map[string]uint64, backends ...string) ctl.ForwardCounters {
	t.Helper()
	forwards, err := ctl.Spec{Frontend: "80", Backends: backends}.Forwards(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	f := ctl.ForwardCounters{Forward: forwards[0]}
	for _, b := range f.Backends {
		n := packets[b.Place()]
		f.Uses = append(f.Uses, ctl.BackendUse{
			Forward: ctl.Traffic{Packets: n, Bytes: 100 * n}, Reverse: ctl.Traffic{Packets: n / 2, Bytes: 10 * n},
			Connections: ctl.Connections{Opened: n / 10},
		})
		f.Counters.Forward.Packets += n
		f.Counters.Connections.Opened += n / 10
	}
	return f
}

// Rates of backends are those of the same backend, wherever in the list it is: others
// come and go, and one that came back begins anew.
func TestRatesOfBackends(t *testing.T) {
	const a, b, c = "10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80"
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	before := Sample{noon, []ctl.ForwardCounters{counted(t, map[string]uint64{a: 1000, b: 5000}, a, b)}}
	rate := func(packets float64) Throughput {
		return Throughput{Traffic{packets, 100 * packets}, Traffic{packets / 2, 10 * packets}, packets / 10}
	}
	for _, test := range []struct {
		name string
		is   ctl.ForwardCounters
		want []Throughput
	}{
		{"one of them", counted(t, map[string]uint64{a: 1000, b: 5400}, a, b), []Throughput{rate(0), rate(200)}},
		{"the first is gone", counted(t, map[string]uint64{b: 6600, c: 800}, b, c), []Throughput{rate(800), rate(400)}},
		{"one came back", counted(t, map[string]uint64{a: 60, b: 5940}, a, b), []Throughput{rate(30), rate(470)}},
		{"all is new", counted(t, map[string]uint64{a: 1100}, a, b), []Throughput{rate(550), rate(0)}},
	} {
		got := Between(before, Sample{noon.Add(2 * time.Second), []ctl.ForwardCounters{test.is}})
		if diff := cmp.Diff(test.want, got[0].Uses); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", test.name, diff)
		}
	}
}
