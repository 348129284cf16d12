// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

// web is the connection of most cases.
var web = through(client.at(40000), host.at(80), host.at(30080))

// handshake opens a connection: the client's next sequence number is 1001, the
// server's 5001.
func (c connection) handshake() []step {
	return []step{
		c.asks(syn(1000)).opening(),
		c.answers(synAck(5000, 1001)),
		c.asks(ack(1001, 5001)),
	}
}

// goodbye closes a connection that has only been opened, the client first.
func (c connection) goodbye() []step {
	return []step{
		c.asks(fin(1001, 5001)),
		c.answers(fin(5001, 1002)),
		c.asks(ack(1002, 5002)),
	}
}

func TestTCP(t *testing.T) {
	runCases(t, []testCase{
		{
			name:     "a connection from the first to the last segment",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.asks(data(1001, 5001, "a question of odd length.")),
				web.answers(data(5001, 1026, "an answer")),
				web.asks(fin(1026, 5010)),
				web.answers(fin(5010, 1027)),
				web.asks(ack(1027, 5011)),
			}),
		},
		{
			name:     "options stay",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(syn(1000).with(maximumSegment, sackPermitted, timestamp)).opening(),
				web.answers(synAck(5000, 1001).with(maximumSegment, timestamp)),
				web.asks(data(1001, 5001, "with a time stamp").with(timestamp)),
			},
		},
		{
			name:     "a client that is refused",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(segment{flags: "R.", ack: 1001}),
			},
		},
		{
			name:     "a connection from before the forward is picked up",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(data(1001, 5001, "as I said")).opening(),
				web.answers(data(5001, 1010, "yes")),
				web.asks(ack(1010, 5004)),
			},
		},
		{
			name:     "a repeated SYN is of the same connection",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.asks(syn(1000)),
				web.answers(synAck(5000, 1001)),
				web.asks(syn(1000)),
				web.asks(ack(1001, 5001)),
				web.asks(syn(1000)),
			},
		},
		{
			name:     "segments out of any window are nobody's business here",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.asks(data(0x90000000, 0x10000000, "where does this come from?")),
				web.answers(data(0x30000000, 0xf0000000, "from far away")),
			}),
		},
		{
			name:     "connections of two clients, and two of one, do not mix",
			forwards: []string{"80 30080"},
			steps: slices.Concat(
				web.handshake(),
				through(client.at(40001), host.at(80), host.at(30080)).handshake(),
				through(router.at(40000), host.at(80), host.at(30080)).handshake(),
				through(client.at(40000), second.at(80), host.at(30080)).seenAs(client.at(chosen)).handshake(),
				[]step{flows{Established: 4}},
			),
		},
		{
			name:     "the target's port is the frontend's",
			forwards: []string{"80 80"},
			steps: slices.Concat(
				through(client.at(40000), host.at(80), host.at(80)).handshake(),
				through(client.at(40000), host.at(80), host.at(80)).goodbye(),
			),
		},
		{
			name:     "two forwards to one target",
			forwards: []string{"80 30080", "81 30080"},
			steps: slices.Concat(
				web.handshake(),
				through(client.at(40001), host.at(81), host.at(30080)).handshake(),
			),
		},
		{
			name:     "a forward to the frontend of another is not followed by that one",
			forwards: []string{"80 81", "81 82"},
			steps: slices.Concat(
				through(client.at(40000), host.at(80), host.at(81)).handshake(),
				through(client.at(40001), host.at(81), host.at(82)).handshake(),
			),
		},
		{
			name:     "two forwards to each other's frontends",
			forwards: []string{"80 81", "81 80"},
			steps: slices.Concat(
				through(client.at(40000), host.at(80), host.at(81)).handshake(),
				through(client.at(40001), host.at(81), host.at(80)).handshake(),
			),
		},
		{
			name:     "what has nothing to do with a forward stays",
			forwards: []string{"80 30080"},
			steps: []step{
				arrives(between(client.at(40000), host.at(81), syn(1))).stays("no-frontend"),
				arrives(between(client.at(80), host.at(40000), syn(1))).stays("no-frontend"),
				arrives(between(client.at(40000), host.at(80), udp("?"))).stays("no-frontend"),
				leaves(between(host.at(81), client.at(40000), synAck(1, 1))).stays("no-frontend"),
				leaves(between(host.at(30080), client.at(40000), synAck(1, 1))).stays("no-flow"),
				leaves(between(host.at(40000), client.at(80), syn(1))).stays("no-frontend"),
				leaves(between(host.at(30080), client.at(40000), udp("!"))).stays("no-frontend"),
				flows{},
			},
		},
	})
}

var (
	maximumSegment = layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}
	sackPermitted  = layers.TCPOption{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2}
	timestamp      = layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte("\x00\x01\x02\x03\x04\x05\x06\x07")}
)
