// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
	"time"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
)

// unpaired is a step: from now on a flow may lack an entry, or not.
func unpaired(may bool) step { return does(func(r *run) { r.unpaired = may }) }

// The kernel forgets entries one by one, and when it likes.
func TestEviction(t *testing.T) {
	clients := func(e entry) bool { return e.flow.Flags&uint8(bpf.XfwdFlowFlagFLOW_REVERSE) == 0 }
	targets := func(e entry) bool { return !clients(e) }
	direct := connection{client.at(40000), host.at(30080), host.at(30080), client.at(chosen)}
	runCases(t, []testCase{
		{
			name:     "of the entry for replies",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(targets), idle(2 * time.Second),
				web.asks(ack(1001, 5001)),
				web.answers(data(5001, 1001, "hello")),
				flows{Established: 1},
			}),
		},
		{
			name:     "of the entry for requests",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(clients), idle(2 * time.Second),
				web.answers(data(5001, 1001, "hello")),
				web.asks(ack(1001, 5006)),
				flows{Established: 1},
			}),
		},
		{
			name:     "of the entry for requests, and the client is first to notice",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(clients),
				web.asks(ack(1001, 5001)).opening(),
				web.answers(data(5001, 1001, "hello")),
			}),
		},
		{
			name:     "of both",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(func(entry) bool { return true }),
				flows{},
				leaves(web.answer(ack(5001, 1001))).stays("no-flow"),
				web.asks(ack(1001, 5001)).opening(),
				web.answers(ack(5001, 1001)),
			}),
		},
		{
			name:     "of what is left in the other map",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(func(e entry) bool { return !e.established }),
				web.asks(data(1001, 5001, "hello")),
				web.answers(ack(5001, 1006)),
				flows{Established: 1},
				web.asks(fin(1006, 5001)),
				web.answers(fin(5001, 1007)),
				flows{Transitory: 1},
				web.asks(ack(1007, 5002)),
			}, web.handshake(), []step{flows{Established: 1}}),
		},
		{
			name:     "of what is left in the other map, before the port is taken",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(func(e entry) bool { return !e.established }),
				direct.asks(syn(7000)).as("direct"),
				direct.answers(synAck(9000, 7001)).as("direct"),
				web.answers(data(5001, 1001, "hello")),
			}),
		},
		{
			name:     "of the entry for replies, and another client takes what it had",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{evict(targets), unpaired(true)}, directly(syn(7000), synAck(9000, 7001), ack(7001, 9001)), []step{
				// The older flow may find out at its next packet or a second later, but changes nothing.
				idle(2 * time.Second), unpaired(false),
				web.seenAs(client.at(chosen)).asks(data(1001, 5001, "hello")).opening(),
				leaves(between(host.at(30080), client.at(40000), data(9001, 7001, "hello"))).stays("direct"),
				flows{Established: 1, Transitory: 1},
			}),
		},
		{
			name:     "of the entry for replies before the flow is confirmed, and another client takes what it had",
			forwards: []string{"80 30080"},
			steps: slices.Concat([]step{
				web.asks(syn(1000)).opening(), web.answers(synAck(5000, 1001)), evict(targets), unpaired(true),
			}, directly(syn(7000), synAck(9000, 7001)), []step{
				web.asks(ack(1001, 5001)),
				leaves(between(host.at(30080), client.at(40000), data(9001, 7001, "hello"))).stays("direct"),
			}),
		},
		{
			name:     "of the entry for replies before the flow closes, and another client takes what it had",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{evict(targets), unpaired(true)}, directly(syn(7000), synAck(9000, 7001), ack(7001, 9001)), []step{
				web.asks(rst(1001)),
				leaves(between(host.at(30080), client.at(40000), data(9001, 7001, "hello"))).stays("direct"),
				does(func(r *run) {
					ofForward := ctl.FlowFilter{Forwards: []string{"80"}}
					if _, err := r.instance.DeleteFlows(r.Context(), ofForward, ctl.FlowDeletion{}); err != nil {
						r.Fatal(err)
					}
				}),
				unpaired(false),
				leaves(between(host.at(30080), client.at(40000), data(9006, 7001, "hello"))).stays("direct"),
				flows{Established: 1},
			}),
		},
		{
			name:     "of what is established",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.answers(data(5001, 1001, "hello")),
				web.asks(ack(1001, 5006)),
				evict(func(e entry) bool { return e.established }),
				web.asks(data(1001, 5006, "hello")),
				web.answers(data(5006, 1006, "hello")),
				web.asks(ack(1006, 5011)),
				flows{Established: 1},
				web.asks(fin(1006, 5011)),
				web.answers(fin(5011, 1007)),
				flows{Transitory: 1},
			}, web.handshake()),
		},
		{
			name:     "of what is established, long ago",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				evict(func(e entry) bool { return e.established && clients(e) }),
				idle(2 * time.Second),
				web.asks(ack(1001, 5001)),
				web.answers(data(5001, 1001, "hello")),
				flows{Established: 1},
			}),
		},
		{
			name:     "of half a connection that is half-closed",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				evict(func(e entry) bool { return e.established && clients(e) }),
				web.asks(ack(1002, 5001)),
				web.answers(fin(5001, 1002)),
				web.asks(ack(1002, 5002)),
				flows{Transitory: 1},
			}),
		},
		{
			name:     "of UDP",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("?")).opening(),
				evict(targets), idle(2 * time.Second),
				dns.asks(udp("?")),
				dns.answers(udp("!")),
				evict(clients), idle(2 * time.Second),
				dns.answers(udp("!")),
				dns.asks(udp("?")),
				flows{Established: 1},
			},
		},
	})
}
