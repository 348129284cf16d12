// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	"github.com/xfwd/xfwd/internal/ctl"
)

// del is a step: all forwards go.
func del(existing ctl.Existing) step {
	return does(func(r *run) {
		r.Helper()
		r.change(r, ctl.Delete(nil, true), existing)
	})
}

// apply is a step: these forwards are there instead of all others.
func apply(lines ...string) step {
	return does(func(r *run) {
		r.Helper()
		r.change(r, ctl.ApplyFile(forwards(r, r.family, lines...), true), ctl.ExistingKeep)
	})
}

// refused is a packet of a client whose forward is gone.
func refused(from, to endpoint, b body) step {
	return arrives(between(from, to, b)).stays("no-frontend")
}

func TestDeletion(t *testing.T) {
	forwards := []string{"80/tcp+udp 30080"}
	again := through(client.at(40000), host.at(80), host.at(30081))
	direct := connection{client.at(40000), host.at(30080), host.at(30080), client.at(chosen)}
	other := through(client.at(40001), host.at(80), host.at(30080))
	runCases(t, []testCase{
		{
			name:     "established TCP lives on",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				del(ctl.ExistingKeep),
				web.asks(data(1001, 5001, "still here")),
				web.answers(data(5001, 1011, "so am I")),
				flows{Established: 1},
			}),
		},
		{
			name:     "established TCP lives on to its end",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{del(ctl.ExistingKeep)}, web.goodbye(), []step{
				web.answers(fin(5001, 1002)),
				web.asks(ack(1002, 5002)),
			}),
		},
		{
			name:     "the last ACK of a connection that had closed",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				web.answers(fin(5001, 1002)),
				del(ctl.ExistingKeep),
				web.asks(ack(1002, 5002)),
				web.answers(fin(5001, 1002)),
				web.asks(ack(1002, 5002)),
			}),
		},
		{
			name:     "a direct client whose port was taken lives on",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				direct.asks(syn(7000)).as("direct"),
				direct.answers(synAck(9000, 7001)).as("direct"),
				direct.asks(ack(7001, 9001)).as("direct"),
				del(ctl.ExistingReset),
				direct.answers(data(9001, 7001, "still here?")).as("direct"),
				direct.asks(data(7001, 9012, "yes")).as("direct"),
				flows{Established: 1},
			}),
		},
		{
			name:     "new TCP is refused, whoever lives on",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				del(ctl.ExistingKeep),
				refused(client.at(40001), host.at(80), syn(1)),
				web.asks(data(1001, 5001, "still here")),
				flows{Established: 1},
			}),
		},
		{
			name:     "a port that is used again is refused",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), web.goodbye(), []step{
				del(ctl.ExistingKeep),
				refused(client.at(40000), host.at(80), syn(1)),
				flows{},
			}),
		},
		{
			name:     "half-open TCP ends",
			forwards: forwards,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5000, 1001)),
				del(ctl.ExistingKeep),
				refused(client.at(40000), host.at(80), ack(1001, 5001)),
				leaves(web.answer(synAck(5000, 1001))).stays("no-frontend"),
				flows{},
			},
		},
		{
			name:     "UDP ends",
			forwards: forwards,
			steps: []step{
				web.asks(udp("?")).opening(),
				web.answers(udp("!")),
				web.asks(udp("?")),
				flows{Established: 1},
				del(ctl.ExistingKeep),
				refused(client.at(40000), host.at(80), udp("?")),
				leaves(web.answer(udp("!"))).stays("no-frontend"),
				flows{},
			},
		},
		{
			name:     "with reset, established TCP ends",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				del(ctl.ExistingReset),
				refused(client.at(40000), host.at(80), data(1001, 5001, "anyone?")),
				leaves(web.answer(data(5001, 1001, "anyone?"))).stays("no-frontend"),
				flows{},
			}),
		},
		{
			name:     "added again, the old connection and the new ones are served",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{del(ctl.ExistingKeep), apply(forwards...)}, []step{
				web.asks(data(1001, 5001, "still here")),
				web.answers(data(5001, 1011, "so am I")),
			}, other.handshake(), []step{flows{Established: 2}}),
		},
		{
			name:     "replaced, the old connection keeps its target",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				apply("80 30081"),
				web.asks(data(1001, 5001, "still here")),
				web.answers(data(5001, 1011, "so am I")),
			}, through(client.at(40001), host.at(80), host.at(30081)).handshake(), []step{flows{Established: 2}}),
		},
		{
			name:     "replaced, UDP goes to the new target at once",
			forwards: forwards,
			steps: []step{
				web.asks(udp("?")).opening(),
				web.answers(udp("!")),
				web.asks(udp("?")),
				apply("80/tcp+udp 30081"),
				again.asks(udp("?")).opening(),
				again.answers(udp("!")),
				flows{Transitory: 1},
			},
		},
		{
			name:     "replaced, half-open TCP goes to the new target",
			forwards: forwards,
			steps: []step{
				web.asks(syn(1000)).opening(),
				apply("80/tcp+udp 30081"),
				again.asks(syn(1000)).opening(),
				flows{Transitory: 1},
			},
		},
		{
			name:     "a change of other forwards is not noticed",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(udp("?")).opening(),
				apply("80/tcp+udp 30080", "81 30081", "70-90 30082"),
				web.answers(udp("!")),
				web.asks(udp("?")),
				web.asks(data(1001, 5001, "hello")),
				flows{Established: 2},
			}),
		},
	})
}
