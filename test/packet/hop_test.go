// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
	"time"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// settings is a step that changes the settings until the end of the case.
func settings(change func(*xfwd.Settings)) step {
	return does(func(r *run) {
		r.Helper()
		before, err := r.set.Settings()
		if err != nil {
			r.Fatal(err)
		}
		changed := before
		change(&changed)
		if err := r.set.PutSettings(changed); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() {
			if err := r.set.PutSettings(before); err != nil {
				r.Error(err)
			}
		})
	})
}

// Where packets leave is asked once for each direction of a flow, and again when
// the answer is old.
func TestNextHops(t *testing.T) {
	var cases []testCase
	for _, c := range relays {
		forwards := []string{c.forward}
		rerouted := settings(func(s *xfwd.Settings) { s.RouteGeneration++ })
		cases = append(cases,
			testCase{
				name:     "UDP asks once for each direction, " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(udp("?")).opening().asking(),
					c.asks(udp("?")).knowing(),
					c.answers(udp("!")).asking(),
					c.answers(udp("!")).knowing(),
				},
			},
			testCase{
				name:     "TCP asks once for each direction, " + c.name,
				forwards: forwards,
				steps: []step{
					c.asks(syn(1000)).opening().asking(),
					c.answers(synAck(5000, 1001)).asking(),
					c.asks(ack(1001, 5001)).knowing(), flows{Established: 1},
					c.asks(data(1001, 5001, "?")).knowing(),
					c.answers(data(5001, 1002, "!")).knowing(),
					c.asks(fin(1002, 5002)).knowing(),
					c.answers(fin(5002, 1003)).knowing(), flows{Transitory: 1},
					c.asks(ack(1003, 5003)).knowing(),
				},
			},
			testCase{
				name:     "again after a time, and no earlier, " + c.name,
				forwards: forwards,
				links:    onlyEthernet, // others ask for each packet
				steps: slices.Concat(c.handshake(), []step{
					c.answers(data(5001, 1001, "!")),
					idle(freshness / 2),
					c.asks(data(1001, 5001, "?")).knowing(),
					c.answers(data(5001, 1001, "!")).knowing(),
					idle(freshness/2 + time.Second),
					c.asks(data(1001, 5001, "?")).asking(),
					c.answers(data(5001, 1001, "!")).asking(),
					c.asks(data(1001, 5001, "?")).knowing(),
					c.answers(data(5001, 1001, "!")).knowing(),
				}),
			},
			testCase{
				name:     "again when routes have changed, " + c.name,
				forwards: forwards,
				steps: slices.Concat(c.handshake(), []step{
					c.answers(data(5001, 1001, "!")),
					rerouted,
					c.asks(data(1001, 5001, "?")).asking(),
					c.asks(data(1001, 5001, "?")).knowing(),
					c.answers(data(5001, 1001, "!")).asking(),
					c.answers(data(5001, 1001, "!")).knowing(),
				}),
			},
		)
	}
	runCases(t, cases)
}

// A neighbour whose link-layer address is not known is left to the kernel to
// find, as often as packets come.
func TestUnknownNeighbours(t *testing.T) {
	c := through(client.at(40000), host.at(80), unknown.at(8080)).seenAs(second.at(chosen)).between(toRouter, toUnknown)
	forwards := []string{"80/tcp+udp unknown:8080 --source masquerade"}
	runCases(t, []testCase{
		{
			name:     "TCP",
			forwards: forwards,
			steps: slices.Concat(c.handshake(), []step{
				c.asks(data(1001, 5001, "?")),
				c.answers(data(5001, 1001, "!")),
			}),
		},
		{
			name:     "UDP",
			forwards: forwards,
			steps:    []step{c.asks(udp("?")).opening(), c.asks(udp("?")).asking(), c.answers(udp("!"))},
		},
	})
}

// A neighbour that does not answer is waited for, and then the client is told.
func TestSilentNeighbours(t *testing.T) {
	c := through(client.at(31000), host.at(80), unknown.at(8080)).seenAs(second.at(31000)).between(toRouter, toUnknown)
	told := arrives(c.request(udp("?"))).isAnswered("no-neighbour", noRoute.most(c.request(udp("?"))))
	runCases(t, []testCase{{
		name:     "after a time",
		forwards: []string{"80/udp unknown:8080 --source masquerade"},
		links:    onlyEthernet,
		steps: []step{
			c.asks(udp("?")).opening(),
			idle(freshness / 2), c.asks(udp("?")),
			idle(time.Second), c.asks(udp("?")),
			idle(patience), told,
			c.asks(udp("?")),
		},
	}})
}

// Where there is no link layer there is no neighbour to ask.
func TestDevicesWithoutLinkLayer(t *testing.T) {
	c := through(client.at(31000), host.at(80), remote.at(8080)).seenAs(second.at(31000)).
		between(toRouter, &exit{"eth1", remote, bpf.XfwdNextHopWayWAY_DEVICE})
	unlink := does(func(r *run) {
		r.flag(r, "eth1", 0)
		r.Cleanup(func() { r.embody(r) })
	})
	runCases(t, []testCase{{
		name:     "TCP and UDP",
		forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
		steps: slices.Concat([]step{unlink}, c.handshake(), []step{
			c.asks(data(1001, 5001, "?")).knowing(), c.answers(data(5001, 1002, "!")),
			c.asks(udp("?")).opening().asking(), c.asks(udp("?")).knowing(), c.answers(udp("!")),
		}),
	}})
}

// A request need not come by the device of the one before. An answer comes by one that
// leads to the target.
func TestOtherDevices(t *testing.T) {
	c := toTheRemote
	runCases(t, []testCase{{
		name:     "TCP",
		forwards: []string{"80 remote:8080 --source masquerade"},
		steps: slices.Concat(c.handshake(), []step{
			c.asks(data(1001, 5001, "?")).on("eth1"),
			arrives(c.answer(data(5001, 1002, "!"))).isDropped("wrong-device").on("eth0"),
			arrives(c.answer(data(5001, 1002, "!"))).isDropped("wrong-device").on("pod0"),
			c.answers(data(5001, 1002, "!")),
			c.asks(data(1002, 5002, "?")).on("pod0"),
		}),
	}})
}
