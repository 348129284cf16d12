// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// Fragments without end push out what is known of other datagrams in pieces, and
// nothing else: those that come whole and those that begin now pass (RFC 4787,
// REQ-14a).
func TestFloodOfFragments(t *testing.T) {
	// More than the programs remember.
	const datagrams = 6000
	attacker := through(client.at(50000), dns.frontend, dns.target)
	runCases(t, []testCase{{
		name:     "first ones",
		forwards: []string{"53/udp 30053"},
		links:    onlyEthernet,
		steps: []step{
			dns.asks(udp("?")).opening(),
			dns.answers(udp("!")),
			does(func(r *run) {
				r.Helper()
				for id := range datagrams {
					frame := r.link.frame(attacker.request(big, first(uint16(id), 24)), r.family, r.mac("eth0"))
					out, err := r.process(input{program: r.programs[place{ingress, r.link}], frame: frame, device: "eth0"})
					if err != nil || out.verdict != next {
						r.Fatalf("fragment %d: verdict %v, %v", id, out.verdict, err)
					}
				}
			}),
			dns.asks(udp("still there?")),
			dns.answers(udp("still here")),
			dns.asks(big, first(7000, 24)),
			dns.asks(big, last(7000, 24)),
		},
	}})
}
