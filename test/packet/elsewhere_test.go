// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
)

// Connections from beyond eth0 to targets of each kind.
var (
	// A container behind this host, which sees its clients.
	toThePod = through(client.at(40000), host.at(80), pod.at(8080)).between(toRouter, toPod)
	// Another machine on another network, which must see the host.
	toTheRemote = through(client.at(40000), host.at(80), remote.at(8080)).seenAs(second.at(chosen)).between(toRouter, toRemote)
	// Another machine on the network that the client comes by.
	besideUs = through(client.at(40000), host.at(80), neighbour.at(8080)).seenAs(host.at(chosen)).between(toRouter, toBeside)
)

// relays are the connections with the forwards that they take.
var relays = []struct {
	name    string
	forward string
	relayed
}{
	{"a container", "80/tcp+udp pod:8080", toThePod},
	{"another network", "80/tcp+udp remote:8080 --source masquerade", toTheRemote},
	{"the same network", "80/tcp+udp neighbour:8080", besideUs},
}

func TestTargetsElsewhere(t *testing.T) {
	var cases []testCase
	for _, c := range relays {
		forwards := []string{c.forward}
		cases = append(cases,
			testCase{
				name:     "TCP from the first to the last segment, " + c.name,
				forwards: forwards,
				steps: slices.Concat(c.handshake(), []step{
					flows{Established: 1},
					c.asks(data(1001, 5001, "a question of odd length.").with(timestamp)),
					c.answers(data(5001, 1026, "an answer")),
				}, c.goodbye(), []step{flows{Transitory: 1}}),
			},
			testCase{
				name:     "UDP, " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(udp("a question of odd length.")).opening(),
					c.answers(udp("an answer")),
					c.asks(udp("?")), flows{Established: 1},
					c.asks(unchecked("?")),
					c.answers(unchecked("!")),
					c.answers(udp("")),
				},
			},
		)
	}
	runCases(t, cases)
}
