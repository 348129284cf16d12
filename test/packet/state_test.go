// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
)

// Which part of the flow table a TCP connection is in.
func TestStateOfTCP(t *testing.T) {
	web80 := []string{"80 30080"}
	runCases(t, []testCase{
		{
			name:     "established when the client acknowledges what the server sent",
			forwards: web80,
			steps: []step{
				web.asks(syn(1000)).opening(), flows{Transitory: 1},
				web.answers(synAck(5000, 1001)), flows{Transitory: 1},
				web.asks(ack(1001, 5001)), flows{Established: 1},
			},
		},
		{
			name:     "an acknowledgement without an answer confirms nothing",
			forwards: web80,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.asks(ack(1001, 0)),
				web.asks(ack(1001, 5001)),
				flows{Transitory: 1},
			},
		},
		{
			name:     "a guessed acknowledgement confirms nothing",
			forwards: web80,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5_000_000, 1001)),
				web.asks(ack(1001, 5_000_002)), flows{Transitory: 1},
				web.asks(ack(1001, 5_000_001+1<<31)), flows{Transitory: 1},
				web.asks(ack(1001, 5_000_000-1<<20)), flows{Transitory: 1},
				web.asks(segment{flags: "S.", seq: 1001, ack: 5_000_001}), flows{Transitory: 1},
				web.asks(ack(1001, 5_000_001)), flows{Established: 1},
			},
		},
		{
			name:     "a client may acknowledge less than the server has sent",
			forwards: web80,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5000, 1001)),
				web.answers(data(5001, 1001, "a server that speaks first")),
				web.asks(ack(1001, 5001)),
				flows{Established: 1},
			},
		},
		{
			name:     "sequence numbers begin anew after the highest",
			forwards: web80,
			steps: []step{
				web.asks(syn(0xffffffff)).opening(),
				web.answers(synAck(0xffffffff, 0)),
				web.asks(ack(0, 0)),
				flows{Established: 1},
			},
		},
		{
			name:     "a connection that is picked up is established like any other",
			forwards: web80,
			steps: []step{
				web.asks(data(1001, 5001, "as I said")).opening(), flows{Transitory: 1},
				web.answers(data(5001, 1010, "yes")), flows{Transitory: 1},
				web.asks(ack(1010, 5004)), flows{Established: 1},
			},
		},
		{
			name:     "half-closed by the client it stays",
			forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				web.answers(ack(5001, 1002)), flows{Established: 1},
				web.answers(data(5001, 1002, "there is more")),
				web.asks(ack(1002, 5014)), flows{Established: 1},
			}),
		},
		{
			name:     "half-closed by the server it stays",
			forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.answers(fin(5001, 1001)),
				web.asks(ack(1001, 5002)), flows{Established: 1},
				web.asks(data(1001, 5002, "there is more")),
				web.answers(ack(5002, 1014)), flows{Established: 1},
			}),
		},
		{
			name:     "a SYN that carries data",
			forwards: web80,
			steps: []step{
				web.asks(segment{flags: "S", seq: 1000, payload: "hello"}).opening(),
				web.answers(segment{flags: "S.", seq: 5000, ack: 1006, payload: "hello"}), flows{Transitory: 1},
				web.asks(ack(1006, 5006)), flows{Established: 1},
			},
		},
		{
			name:     "a FIN that is sent twice is one",
			forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				web.asks(fin(1001, 5001)),
				flows{Established: 1},
			}),
		},
		{
			name:     "closed it is transitory, and its last segments are translated",
			forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				web.answers(fin(5001, 1002)), flows{Transitory: 1},
				web.asks(ack(1002, 5002)),
				web.answers(fin(5001, 1002)),
				web.asks(ack(1002, 5002)), flows{Transitory: 1},
			}),
		},
		{
			name:     "closed before it was established",
			forwards: web80,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5000, 1001)),
				web.answers(fin(5001, 1001)),
				web.asks(fin(1001, 5002)),
				web.answers(ack(5002, 1002)),
				web.asks(ack(1002, 5002)),
				flows{Transitory: 1},
			},
		},
		{
			name:     "reset by the client",
			forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(rst(1001)), flows{Transitory: 1},
				web.answers(data(5001, 1001, "hello?")), flows{Transitory: 1},
			}),
		},
		{
			name:     "reset by the server",
			forwards: web80,
			steps: slices.Concat(web.handshake(), []step{
				web.answers(rst(5001)), flows{Transitory: 1},
				web.asks(data(1001, 5001, "hello?")), flows{Transitory: 1},
			}),
		},
		{
			name:     "reset before it was established",
			forwards: web80,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5000, 1001)),
				web.asks(rst(1001)),
				web.asks(ack(1001, 5001)),
				flows{Transitory: 1},
			},
		},
	})
}

// A client may use its port again as soon as its connection is closed.
func TestAPortIsUsedAgain(t *testing.T) {
	runCases(t, []testCase{
		{
			name:     "after a goodbye",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), web.goodbye(), web.handshake(), []step{
				flows{Established: 1},
			}, web.goodbye(), web.handshake(), []step{flows{Established: 1}}),
		},
		{
			name:     "after a reset",
			forwards: []string{"80 30080"},
			steps: slices.Concat(
				web.handshake(), []step{web.asks(rst(1001))},
				web.handshake(), []step{web.answers(rst(5001))},
				web.handshake(), []step{flows{Established: 1}},
			),
		},
		{
			name:     "after a refusal",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(segment{flags: "R.", ack: 1001}),
				web.asks(syn(2000)).opening(),
				web.answers(segment{flags: "R.", ack: 2001}),
				flows{Transitory: 1},
			},
		},
		{
			name:     "for another frontend of the same target",
			forwards: []string{"80 30080", "81 30080"},
			steps: slices.Concat(
				web.handshake(), web.goodbye(),
				through(client.at(40000), host.at(81), host.at(30080)).handshake(),
				[]step{flows{Established: 1}},
			),
		},
		{
			name:     "to talk to the target itself",
			forwards: []string{"80 30080"},
			steps: slices.Concat(
				web.handshake(), web.goodbye(),
				directly(syn(7000), synAck(9000, 7001), ack(7001, 9001)),
			),
		},
		{
			name:     "after talking to the target itself",
			forwards: []string{"80 30080"},
			steps: slices.Concat(
				directly(syn(7000), synAck(9000, 7001), ack(7001, 9001), fin(9001, 7001), fin(7001, 9002), ack(9002, 7002)),
				web.handshake(), []step{flows{Established: 1}},
			),
		},
		{
			name:     "for a forward that has been replaced",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), web.goodbye(), []step{apply("80 30081")},
				through(client.at(40000), host.at(80), host.at(30081)).handshake(),
				[]step{flows{Established: 1}},
			),
		},
		{
			name:     "when there is a forward that beats the old one",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), web.goodbye(), []step{apply("80 30080", "host:80 30081")},
				through(client.at(40000), host.at(80), host.at(30081)).handshake(),
				[]step{flows{Established: 1}},
			),
		},
		{
			name:     "when the target has become a frontend",
			forwards: []string{"80 30080"},
			steps: slices.Concat(
				directly(syn(7000), synAck(9000, 7001), ack(7001, 9001), fin(9001, 7001), fin(7001, 9002), ack(9002, 7002)),
				[]step{apply("80 30080", "30080 30081")},
				through(client.at(40000), host.at(30080), host.at(30081)).handshake(),
			),
		},
		{
			name:     "not while it is half-closed, however often a SYN comes",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				web.asks(syn(2000)),
				flows{Established: 1},
			}),
		},
	})
}

// directly is a client that talks to the target itself; it and the target speak
// in turn.
func directly(bodies ...body) []step {
	var steps []step
	for i, b := range bodies {
		if i%2 == 0 {
			steps = append(steps, arrives(between(client.at(40000), host.at(30080), b)).stays("direct"))
		} else {
			steps = append(steps, leaves(between(host.at(30080), client.at(40000), b)).stays("direct"))
		}
	}
	return steps
}
