// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"math/rand/v2"
	"slices"
	"strings"
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

// What passes a device at once is served by it at once.
func TestSegmentsElsewhere(t *testing.T) {
	payload := strings.Repeat("0123456789", 250)
	var cases []testCase
	for _, c := range relays {
		cases = append(cases,
			testCase{
				name:     "TCP, " + c.name,
				forwards: []string{c.forward},
				steps: slices.Concat(c.handshake(), []step{
					c.asks(data(1001, 5001, payload)).merged(1000, 3),
					c.answers(data(5001, 3501, payload)).merged(1000, 3),
					c.asks(data(3501, 7501, payload)).merged(1250, 0),
					c.answers(data(7501, 6001, payload), mangled(withoutLength)).merged(1000, 3),
				}),
			},
			testCase{
				name:     "UDP, " + c.name,
				forwards: []string{c.forward},
				steps: []step{
					c.asks(udp(payload)).merged(1000, 3).opening(),
					c.answers(udp(payload)).merged(1000, 0),
				},
			},
		)
	}
	runCases(t, cases)
}

func TestFragmentsElsewhere(t *testing.T) {
	var cases []testCase
	for _, c := range relays {
		forwards := []string{c.forward}
		cases = append(cases,
			testCase{
				name:     "in order and not, " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(big, first(7, 24)).opening(),
					c.asks(big, last(7, 48)),
					c.asks(big, piece(7, 24, 48)),
					c.answers(big, first(9, 24)),
					c.answers(big, piece(9, 24, 48)),
					c.answers(big, last(9, 48)),
					c.asks(unchecked(big.payload), first(8, 24)),
					c.asks(unchecked(big.payload), last(8, 24)),
					c.asks(big, first(10, 24)),
					c.asks(big, last(10, 24)),
				},
			},
			testCase{
				name:     "all of a datagram in one, " + c.name,
				forwards: forwards,
				steps:    []step{c.asks(big, last(7, 0)).opening(), c.answers(big, last(9, 0)), c.asks(big, last(8, 0))},
			},
			testCase{
				name:     "before the first, " + c.name,
				forwards: forwards,
				steps: []step{
					arrives(c.request(big, last(7, 24))).stays("fragment-early"),
					c.asks(big, first(7, 24)).opening(),
					arrives(c.answer(big, last(9, 24))).stays("fragment-early").on(c.far.device),
				},
			},
		)
	}
	runCases(t, cases)
}

// Errors find the sender of the packet that they are about, whose own packet is in
// them.
func TestErrorsElsewhere(t *testing.T) {
	request, reply := data(1001, 5001, "a question of odd length."), data(5001, 1026, "an answer, longer")
	var cases []testCase
	for _, c := range relays {
		for _, k := range icmpErrors {
			tcp := testCase{name: k.name + " about TCP, " + c.name, forwards: []string{c.forward}, steps: c.handshake()}
			for _, length := range quotes {
				tcp.steps = append(tcp.steps, c.errors(k, length, request, reply)...)
			}
			tcp.steps = append(tcp.steps, flows{Established: 1})
			datagrams := testCase{name: k.name + " about UDP, " + c.name, forwards: []string{c.forward}, steps: []step{
				c.asks(udp("?")).opening(),
			}}
			for _, length := range []int{8, 10, 0} {
				datagrams.steps = append(datagrams.steps, c.errors(k, length, udp("a question"), udp("an answer, longer"))...)
				datagrams.steps = append(datagrams.steps, c.errors(k, length, unchecked("a question"), unchecked("an answer"))...)
			}
			cases = append(cases, tcp, datagrams)
		}
	}
	runCases(t, cases)
}

// Headers of all kinds.
func TestHeadersElsewhere(t *testing.T) {
	converse := func(c relayed, shapes ...shaping) []step {
		return []step{
			c.asks(syn(1000).with(mss(500)), shapes...).opening(),
			c.answers(synAck(5000, 1001), shapes...),
			c.asks(data(1001, 5001, "a question of odd length."), shapes...),
			c.answers(data(5001, 1026, "an answer"), shapes...),
			c.asks(data(1026, 5010, "?"), append(shapes, hops(255))...),
			c.answers(data(5010, 1027, "!"), append(shapes, hops(2))...),
		}
	}
	var cases []testCase
	for _, c := range relays {
		cases = append(cases,
			testCase{name: "options, " + c.name, forwards: []string{c.forward}, families: onlyIPv4, steps: converse(c.relayed, withOptions)},
			testCase{
				name: "extensions, " + c.name, forwards: []string{c.forward}, families: onlyIPv6,
				steps: converse(c.relayed, extended(hopByHop, destinationOptions, routing, longOptions)),
			},
			testCase{name: "trailers, " + c.name, forwards: []string{c.forward}, steps: converse(c.relayed, trailed("\x00\x00\x00"))},
		)
	}
	runCases(t, cases)
}

// A priority tag says something to one link only, and a VLAN is of its own device.
func TestTagsElsewhere(t *testing.T) {
	t.Parallel()
	w := *borrowWorld(t)
	untagged := w.programs
	for name, tag := range map[string]int32{"a tag": 0, "a tag with a priority": priority} {
		w.programs = programs{{ingress, ethernet}: behind(t, untagged[place{ingress, ethernet}], taggedBy(tag)...)}
		var cases []testCase
		for _, c := range relays {
			cases = append(cases, testCase{
				name:     name + ", " + c.name,
				forwards: []string{c.forward},
				links:    []linkLayer{ethernet},
				steps: []step{
					alsoTagged(c.asks(udp("?")).opening()), alsoTagged(c.answers(udp("!"))),
					alsoTagged(c.asks(udp("?"))), alsoTagged(c.answers(udp("!"))),
				},
			})
		}
		w.runCases(t, cases)
	}
}

// Of a tag in the frame the kernel has seen another one before, which it took off.
func TestTagsInTheFrameElsewhere(t *testing.T) {
	runCases(t, []testCase{{
		name:     "new and known flows",
		forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
		links:    onlyEthernet,
		steps: []step{
			arrives(toTheRemote.request(udp("?"), tagged(7))).stays("vlan"), flows{},
			toTheRemote.asks(udp("?")).opening(),
			arrives(toTheRemote.request(udp("?"), tagged(0))).stays("vlan"),
			toTheRemote.asks(udp("?")).knowing(),
		},
	}})
}

// A client may use its port again as soon as its connection is closed.
func TestAPortIsUsedAgainElsewhere(t *testing.T) {
	// The port that the target sees may be another one then.
	again := does(func(r *run) { r.chosen = chosen })
	var cases []testCase
	for _, c := range relays {
		cases = append(cases,
			testCase{
				name:     "after a goodbye, " + c.name,
				forwards: []string{c.forward},
				steps:    slices.Concat(c.handshake(), c.goodbye(), []step{flows{Transitory: 1}, again}, c.handshake(), []step{flows{Established: 1}}),
			},
			testCase{
				name:     "after a reset, " + c.name,
				forwards: []string{c.forward},
				steps: slices.Concat(c.handshake(), []step{c.asks(rst(1001)), flows{Transitory: 1}, again}, c.handshake(),
					[]step{c.answers(data(5001, 1001, "hello?")), c.answers(rst(5001)), flows{Transitory: 1}}),
			},
		)
	}
	runCases(t, cases)
}

// Clients that talk to a target elsewhere themselves pass as if xfwd were not
// there, and never meet a flow that the target could not tell from theirs.
func TestDirectClientsElsewhere(t *testing.T) {
	request := func(b body) exchange { return arrives(between(client.at(40000), pod.at(8080), b)).stays("direct") }
	reply := func(b body) exchange {
		return arrives(between(pod.at(8080), client.at(40000), b)).stays("direct").on("pod0")
	}
	later := toThePod.seenAs(client.at(chosen))
	toRemoteItself := arrives(between(client.at(40000), remote.at(8080), udp("?"))).stays("direct")
	runCases(t, []testCase{
		{
			name:     "a target that sees its clients",
			forwards: []string{"80/tcp+udp pod:8080"},
			steps: []step{
				request(syn(1000)), reply(synAck(5000, 1001)), request(ack(1001, 5001)), flows{Established: 1},
				request(udp("?")), reply(udp("!")), flows{Established: 1, Transitory: 1},
			},
		},
		{
			name:     "first, so the client's port is taken",
			forwards: []string{"80/tcp+udp pod:8080"},
			steps: slices.Concat([]step{request(syn(7000)), reply(synAck(9000, 7001)), request(ack(7001, 9001))},
				later.handshake(), []step{
					request(data(7001, 9001, "to the target")), reply(data(9001, 7014, "from the target")),
					later.asks(data(1001, 5001, "to the frontend")), later.answers(data(5001, 1016, "from the frontend")),
					flows{Established: 2},
				}),
		},
		{
			name:     "a target that never sees a client",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
			steps: slices.Concat([]step{
				toRemoteItself, flows{},
				arrives(between(remote.at(8080), client.at(40000), udp("!"))).stays("no-flow").on("eth1"),
			}, toTheRemote.handshake(), []step{toRemoteItself, flows{Established: 1}}),
		},
		{
			name:     "somebody else's packets with these ports",
			forwards: []string{"80/tcp+udp pod:8080"},
			steps: []step{
				arrives(between(client.at(40000), remote.at(8080), syn(1))).stays("direct"),
				arrives(between(remote.at(8080), client.at(40000), synAck(1, 2))).stays("no-flow").on("eth1"),
				leaves(between(host.at(8080), client.at(40000), synAck(1, 2))).stays("no-frontend"),
				flows{},
			},
		},
	})
}

// Checksums hold whatever is in the packet, zero included, which is where those
// go wrong that are changed and not computed.
func TestChecksumsElsewhere(t *testing.T) {
	source := rand.New(rand.NewPCG(3, 4))
	var cases []testCase
	for _, f := range bothFamilies {
		c := testCase{name: "of anything", families: []family{f}, forwards: []string{"1-65535/tcp+udp remote:8080 --source preserve"}}
		for range 30 {
			from, to := anyone(source), host.at(1+source.IntN(65535))
			flow := through(from, to, remote.at(8080)).between(toRouter, toRemote)
			asked, sent := udpOfZero(f, from, to), udpOfZero(f, from, flow.target)
			answer, reply := udpOfZero(f, flow.target, from), udpOfZero(f, to, from)
			c.steps = append(c.steps,
				flow.asks(asked).opening(), flow.answers(answer), flow.asks(asked), flow.asks(sent), flow.answers(answer), flow.answers(reply),
				flow.asks(udp("any")), flow.answers(unchecked("any")),
				flow.asks(tcpOfZero(f, from, to)).opening(), flow.answers(tcpOfZero(f, flow.target, from)),
				flow.asks(tcpOfZero(f, from, flow.target)), flow.answers(tcpOfZero(f, to, from)),
			)
		}
		cases = append(cases, c)
	}
	runCases(t, cases)
}
