// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// big is a datagram that is sent in three fragments: up to byte 24, up to byte
// 48, and the rest.
var big = udp("This datagram is large enough to be sent in fragments, three of them.")

func TestFragments(t *testing.T) {
	here := through(client.at(40000), host.at(53), host.at(30053))
	away := through(client.at(40000), host.at(53), second.at(30053))
	toVIP := through(client.at(40000), vip.at(53), host.at(30053))
	var cases []testCase
	for _, c := range []struct {
		name    string
		forward string
		connection
	}{
		{"to the same address", "53/tcp+udp 30053", here},
		{"to another address", "host:53/tcp+udp second:30053", away},
		{"to a virtual address", "vip:53/tcp+udp 30053", toVIP},
	} {
		forwards := []string{c.forward}
		cases = append(cases,
			testCase{
				name:     "in order " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(big, first(7, 24)).opening(),
					c.asks(big, piece(7, 24, 48)),
					c.asks(big, last(7, 48)),
					c.answers(big, first(9, 24)),
					c.answers(big, piece(9, 24, 48)),
					c.answers(big, last(9, 48)),
				},
			},
			testCase{
				name:     "the last before the middle " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(big, first(7, 24)).opening(),
					c.asks(big, last(7, 48)),
					c.asks(big, piece(7, 24, 48)),
				},
			},
			testCase{
				name:     "before the first " + c.name,
				forwards: forwards,
				steps: []step{
					arrives(c.request(big, last(7, 48))).stays("fragment-early"),
					leaves(c.answer(big, last(7, 48))).stays("fragment-early"),
					c.asks(big, first(7, 24)).opening(),
					c.asks(big, piece(7, 24, 48)),
					leaves(c.answer(big, piece(7, 24, 48))).stays("fragment-early"),
				},
			},
			testCase{
				name:     "of another datagram " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(big, first(7, 24)).opening(),
					arrives(c.request(big, last(8, 24))).stays("fragment-early"),
					arrives(between(router.itself(), c.frontend, big, last(7, 24))).stays("fragment-early"),
				},
			},
			testCase{
				name:     "of TCP " + c.name,
				forwards: forwards,
				steps: append(c.handshake(),
					c.asks(data(1001, 5001, big.payload), first(7, 40)),
					c.asks(data(1001, 5001, big.payload), last(7, 40)),
					c.answers(data(5001, 1070, big.payload), first(9, 40)),
					c.answers(data(5001, 1070, big.payload), last(9, 40)),
				),
			},
			testCase{
				name:     "without checksum " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(unchecked(big.payload), first(7, 24)).opening(),
					c.asks(unchecked(big.payload), last(7, 24)),
				},
			},
			testCase{
				name:     "atomic " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(big, last(7, 0)).opening(),
					c.answers(big, last(9, 0)),
					arrives(c.request(big, last(7, 24))).stays("fragment-early"),
				},
			},
			testCase{
				name:     "behind and before extension headers " + c.name,
				forwards: forwards,
				families: onlyIPv6,
				steps: []step{
					c.asks(big, extended(hopByHop, routing), extendedInside(destinationOptions), first(7, 24)).opening(),
					c.asks(big, extended(hopByHop, routing), extendedInside(destinationOptions), last(7, 24)),
					c.asks(big, extended(hopByHop), extendedInside(destinationOptions), last(8, 0)),
				},
			},
			testCase{
				name:     "with options " + c.name,
				forwards: forwards,
				families: onlyIPv4,
				steps: []step{
					c.asks(big, withOptions, first(7, 24)).opening(),
					c.asks(big, withOptions, last(7, 24)),
				},
			},
		)
	}
	cases = append(cases,
		testCase{
			name:     "too short for the ports",
			forwards: []string{"53/udp 30053", "80 30080"},
			steps: []step{
				arrives(web.request(data(1, 1, "of twenty-nine bytes"), first(7, 16))).isDropped("unreadable"),
				arrives(web.request(data(1, 1, "of twenty-nine bytes"), last(7, 16))).stays("fragment-early"),
			},
		},
		testCase{
			name:     "of another protocol, in which the id means something else",
			forwards: []string{"80/tcp+udp 30080"},
			families: onlyIPv4,
			steps: []step{
				web.asks(big, first(7, 24)).opening(),
				arrives(web.request(data(1, 1, big.payload), last(7, 40))).stays("fragment-early"),
				web.asks(big, last(7, 24)),
			},
		},
		testCase{
			name:     "of somebody else's datagram",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				arrives(between(client.at(1), host.at(54), big, first(7, 24))).stays("no-frontend"),
				arrives(between(client.at(1), host.at(54), big, last(7, 24))).stays("fragment-early"),
				arrives(between(client.at(1), neighbour.at(53), big, first(8, 24))).stays("not-this-host"),
				arrives(between(client.at(1), neighbour.at(53), big, last(8, 24))).stays("fragment-early"),
			},
		},
		testCase{
			name:     "of a client that talks to the target itself",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				arrives(between(client.at(40000), host.at(30053), big, first(7, 24))).stays("direct"),
				arrives(between(client.at(40000), host.at(30053), big, last(7, 24))).stays("direct"),
			},
		},
		testCase{
			name:     "an id that is used again for another flow",
			forwards: []string{"53/udp 30053", "54/udp 30054"},
			steps: []step{
				dns.asks(big, first(7, 24)).opening(),
				dns.asks(big, last(7, 24)),
				through(client.at(40000), host.at(54), host.at(30054)).asks(big, first(7, 24)).opening(),
				through(client.at(40000), host.at(54), host.at(30054)).asks(big, last(7, 24)),
			},
		},
	)
	runCases(t, cases)
}
