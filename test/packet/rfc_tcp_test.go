// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// Both ends may open a connection at once (RFC 5382, REQ-2; RFC 9293, figure 8).
// The client's SYN is the first that passes here, for it makes the flow.
func TestSimultaneousOpen(t *testing.T) {
	opening := func(asks, answers func(body, ...shaping) exchange) []step {
		return []step{
			asks(syn(1000)).opening(),
			answers(syn(5000)),
			asks(segment{flags: "S.", seq: 1000, ack: 5001}),
			answers(segment{flags: "S.", seq: 5000, ack: 1001}),
			flows{Transitory: 1},
			asks(data(1001, 5001, "a question")),
			answers(data(5001, 1011, "an answer")),
			flows{Established: 1},
		}
	}
	cases := []testCase{{
		name:     "this host",
		forwards: []string{"80 30080"},
		steps:    opening(web.asks, web.answers),
	}}
	for _, c := range relays {
		cases = append(cases, testCase{
			name:     c.name,
			forwards: []string{c.forward},
			steps:    opening(c.asks, c.answers),
		})
	}
	runCases(t, cases)
}
