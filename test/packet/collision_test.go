// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// A client that talks to the target itself notices nothing.
func TestDirectClients(t *testing.T) {
	runCases(t, []testCase{
		{
			name:     "TCP",
			forwards: []string{"80 30080"},
			steps: append(directly(syn(1000), synAck(5000, 1001), ack(1001, 5001)),
				flows{Established: 1},
				arrives(between(client.at(40000), host.at(30080), fin(1001, 5001))).stays("direct"),
				leaves(between(host.at(30080), client.at(40000), fin(5001, 1002))).stays("direct"),
				flows{Transitory: 1},
			),
		},
		{
			name:     "UDP",
			forwards: []string{"53/udp 30080"},
			steps:    append(directly(udp("?"), udp("!"), udp("?")), flows{Established: 1}),
		},
		{
			name:     "another port of the same client to the frontend",
			forwards: []string{"80 30080"},
			steps: append(directly(syn(1000), synAck(5000, 1001), ack(1001, 5001)),
				append(through(client.at(40001), host.at(80), host.at(30080)).handshake(), flows{Established: 2})...),
		},
		{
			name:     "another address of the target",
			forwards: []string{"host:80 second:30080"},
			steps: append(directly(syn(1000), synAck(5000, 1001)),
				append(through(client.at(40000), host.at(80), second.at(30080)).handshake(), flows{Transitory: 1, Established: 1})...),
		},
		{
			name:     "a reply to a request that was not seen",
			forwards: []string{"80 30080"},
			steps: []step{
				leaves(between(host.at(30080), client.at(40000), synAck(5000, 1001))).stays("no-flow"),
				flows{},
			},
		},
		{
			name:     "a host that forwards nothing",
			forwards: []string{"80 30080"},
			stub:     true,
			steps:    append(directly(syn(1000), synAck(5000, 1001), ack(1001, 5001)), flows{Established: 1}),
		},
	})
}

// One client uses one port to the frontend and to the target itself, so that the
// target could not tell them apart: the later of the two gets another port.
func TestCollisions(t *testing.T) {
	later := web.seenAs(client.at(chosen))
	direct := connection{client.at(40000), host.at(30080), host.at(30080), client.at(chosen)}
	for81 := through(client.at(40000), host.at(81), host.at(30080)).seenAs(client.at(chosen))
	runCases(t, []testCase{
		{
			name:     "TCP, the frontend first",
			forwards: []string{"80 30080"},
			steps: append(web.handshake(),
				direct.asks(syn(7000)).as("direct"),
				direct.answers(synAck(9000, 7001)).as("direct"),
				direct.asks(ack(7001, 9001)).as("direct"),
				web.asks(data(1001, 5001, "to the frontend")),
				web.answers(data(5001, 1016, "from the frontend")),
				direct.asks(data(7001, 9001, "to the target")).as("direct"),
				direct.answers(data(9001, 7014, "from the target")).as("direct"),
				flows{Established: 2},
			),
		},
		{
			name:     "TCP, the target first",
			forwards: []string{"80 30080"},
			steps: append(directly(syn(7000), synAck(9000, 7001), ack(7001, 9001)),
				later.asks(syn(1000)).opening(),
				later.answers(synAck(5000, 1001)),
				later.asks(ack(1001, 5001)),
				arrives(between(client.at(40000), host.at(30080), data(7001, 9001, "to the target"))).stays("direct"),
				leaves(between(host.at(30080), client.at(40000), data(9001, 7014, "from the target"))).stays("direct"),
				later.asks(data(1001, 5001, "to the frontend")),
				later.answers(data(5001, 1016, "from the frontend")),
				flows{Established: 2},
			),
		},
		{
			name:     "UDP, the frontend first",
			forwards: []string{"80/udp 30080"},
			steps: []step{
				web.asks(udp("?")).opening(),
				direct.asks(udp("??")).as("direct"),
				direct.answers(udp("!!")).as("direct"),
				web.answers(udp("!")),
				flows{Transitory: 2},
			},
		},
		{
			name:     "UDP, the target first",
			forwards: []string{"80/udp 30080"},
			steps: append(directly(udp("??"), udp("!!")),
				later.asks(udp("?")).opening(),
				later.answers(udp("!")),
				arrives(between(client.at(40000), host.at(30080), udp("??"))).stays("direct"),
				flows{Transitory: 1, Established: 1},
			),
		},
		{
			name:     "UDP without checksum",
			forwards: []string{"80/udp 30080"},
			steps: append(directly(unchecked("??")),
				later.asks(unchecked("?")).opening(),
				later.answers(unchecked("!")),
			),
		},
		{
			name:     "two frontends of one target",
			forwards: []string{"80 30080", "81 30080"},
			steps: append(web.handshake(),
				for81.asks(syn(1000)).opening(),
				for81.answers(synAck(5000, 1001)),
				for81.asks(ack(1001, 5001)),
				flows{Established: 2},
			),
		},
		{
			name:     "a range to one port",
			forwards: []string{"80-81 30080"},
			steps: append(web.handshake(),
				for81.asks(syn(1000)).opening(),
				for81.answers(synAck(5000, 1001)),
			),
		},
		{
			name:     "fragments",
			forwards: []string{"80/udp 30080"},
			steps: append(directly(udp("??")),
				later.asks(big, first(7, 24)).opening(),
				later.asks(big, last(7, 24)),
				later.answers(big, first(9, 24)),
				later.answers(big, last(9, 24)),
			),
		},
		{
			name:     "errors about the later one",
			forwards: []string{"80/udp 30080"},
			steps: append(directly(udp("??")),
				later.asks(udp("?")).opening(),
				later.ofTheTarget(portUnreachable, 8, udp("?")),
				later.ofTheTarget(portUnreachable, 0, udp("?")),
				later.onTheWayIn(pod, tooBig, 0, udp("?")),
				later.onTheWayOut(router, tooBig, 8, udp("!")),
				later.onTheWayOut(client, portUnreachable, 0, udp("!")),
			),
		},
		{
			name:     "errors about the later one, which is direct",
			forwards: []string{"80/udp 30080"},
			steps: []step{
				web.asks(udp("?")).opening(),
				direct.asks(udp("??")).as("direct"),
				direct.ofTheTarget(portUnreachable, 8, udp("??")),
				direct.onTheWayIn(pod, tooBig, 0, udp("??")),
				direct.onTheWayOut(router, tooBig, 0, udp("!!")),
				web.ofTheTarget(portUnreachable, 0, udp("?")),
			},
		},
		{
			name:     "errors about the later one, which is TCP",
			forwards: []string{"80 30080"},
			steps: append(directly(syn(1000)),
				later.asks(syn(1000)).opening(),
				later.ofTheTarget(portUnreachable, 8, syn(1000)),
				later.onTheWayIn(pod, tooBig, 0, syn(1000)),
				later.answers(synAck(5000, 1001)),
				later.onTheWayOut(router, tooBig, 18, synAck(5000, 1001)),
			),
		},
		{
			name:     "the later one closes and opens again",
			forwards: []string{"80 30080"},
			steps: append(directly(syn(7000), synAck(9000, 7001), ack(7001, 9001)),
				later.asks(syn(1000)).opening(),
				later.answers(synAck(5000, 1001)),
				later.asks(ack(1001, 5001)),
				later.asks(fin(1001, 5001)),
				later.answers(fin(5001, 1002)),
				flows{Transitory: 1, Established: 1},
				does(func(r *run) { r.chosen = chosen }),
				later.asks(syn(2000)).opening(),
				later.answers(synAck(6000, 2001)),
				later.asks(ack(2001, 6001)),
				flows{Established: 2},
			),
		},
	})
}
