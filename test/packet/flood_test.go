// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// A flood of half-open flows pushes out only its like.
func TestFlood(t *testing.T) {
	// As many as the flow table is made for, and much less than each flood has.
	const survivors = maxFlows
	floods := map[string]struct {
		body  body
		flood int
	}{
		"of SYN":        {syn(1), 2000},
		"of ACK":        {ack(1, 1), 2000},
		"of UDP":        {udp("?"), 2000},
		"of direct SYN": {syn(1), 2000},
	}
	var cases []testCase
	for name, f := range floods {
		var before, after []step
		for i := range survivors {
			c := through(client.at(40000+i), host.at(80), host.at(30080))
			before = append(before, c.handshake()...)
			after = append(after,
				c.answers(data(5001, 1001, "still here?")),
				c.asks(data(1001, 5012, "still here")),
			)
			// Some of them close, and open again.
			if i%2 == 0 {
				after = append(after, c.goodbye()...)
				after = append(after, c.handshake()...)
			}
		}
		to := host.at(80)
		if name == "of direct SYN" {
			to = host.at(30080)
		}
		cases = append(cases, testCase{
			name:     name,
			forwards: []string{"80/tcp+udp 30080"},
			links:    onlyEthernet,
			steps: slices.Concat(before, []step{
				does(func(r *run) { r.flood(f.flood, to, f.body) }),
				establishedFlows(survivors),
			}, after, []step{establishedFlows(survivors)}),
		})
	}
	runCases(t, cases)
}

// flood has as many packets arrive, each from another client.
func (r *run) flood(packets int, to endpoint, b body) {
	r.Helper()
	r.crowded = true
	for i := range packets {
		from := machineOf([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}, [16]byte{0x20, 0x01, 0x0d, 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		frame := r.link.frame(between(from.at(1024+i%60000), to, b), r.family, r.mac("eth0"))
		out, err := r.process(input{program: r.programs[place{ingress, r.link}], frame: frame, device: "eth0"})
		if err != nil || out.verdict != next {
			r.Fatalf("packet %d: verdict %v, %v", i, out.verdict, err)
		}
	}
}

// establishedFlows is a step that counts these and no others.
func establishedFlows(want int) step {
	return does(func(r *run) {
		r.Helper()
		got := 0
		err := r.set.Flows(func(f xfwd.Flow) bool {
			if f.Established {
				got++
			}
			return true
		})
		if err != nil || got != want {
			r.Errorf("%d flows are established, want %d (%v)", got, want, err)
		}
	})
}
