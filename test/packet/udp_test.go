// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// dns is the UDP flow of most cases.
var dns = through(client.at(40000), host.at(53), host.at(30053))

func TestUDP(t *testing.T) {
	runCases(t, []testCase{
		{
			name:     "question and answer",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("a question of odd length.")).opening(), flows{Transitory: 1},
				dns.answers(udp("an answer")), flows{Transitory: 1},
				dns.answers(udp("another answer")), flows{Transitory: 1},
				dns.asks(udp("thank you")), flows{Established: 1},
				dns.answers(udp("you are welcome")), flows{Established: 1},
			},
		},
		{
			name:     "nobody answers",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("hello?")).opening(),
				dns.asks(udp("hello?")),
				flows{Transitory: 1},
			},
		},
		{
			name:     "without payload",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("")).opening(),
				dns.answers(udp("")),
			},
		},
		{
			name:     "without checksum it stays without",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(unchecked("a question")).opening(),
				dns.answers(unchecked("an answer")),
				dns.asks(udp("from now on with one")),
				dns.answers(udp("as you like")),
			},
		},
		{
			name:     "both protocols of one port",
			forwards: []string{"53/tcp+udp 30053"},
			steps: append(
				through(client.at(40000), host.at(53), host.at(30053)).handshake(),
				dns.asks(udp("?")).opening(),
				dns.answers(udp("!")),
			),
		},
		{
			name:     "each protocol its own target",
			forwards: []string{"53/tcp 30054", "53/udp 30053"},
			steps: append(
				through(client.at(40000), host.at(53), host.at(30054)).handshake(),
				dns.asks(udp("?")).opening(),
				dns.answers(udp("!")),
			),
		},
	})
}
