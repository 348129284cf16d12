// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	xfwd "github.com/xfwd/xfwd/internal/maps"
)

var (
	nothing      = layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
	endOfOptions = layers.TCPOption{OptionType: layers.TCPOptionKindEndList, OptionLength: 1}
)

// mss is the option by which an end of a connection says how long segments may be.
func mss(bytes uint16) layers.TCPOption {
	return layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, bytes)}
}

// becoming wants the packet to have another body when it leaves.
func (e exchange) becoming(b body) exchange {
	e.out.body = b
	return e
}

// fits is the MSS that fits the MTUs on a relay's way, of IPv4 and IPv6.
func (c relayed) fits() [2]uint16 {
	mtu := uint16(1500)
	if c.near.device == "pod0" || c.far.device == "pod0" {
		mtu = podMTU
	}
	return [2]uint16{mtu - 40, mtu - 60}
}

// announces is a connection whose ends announce an MSS, of which other numbers become
// what is wanted, again and again.
func (c relayed) announces(said, wanted uint16) []step {
	ask, asked := syn(1000).with(mss(said)), syn(1000).with(mss(wanted))
	answer, answered := synAck(5000, 1001).with(mss(said), sackPermitted, timestamp), synAck(5000, 1001).with(mss(wanted), sackPermitted, timestamp)
	return []step{
		c.asks(ask).becoming(asked).opening(),
		c.asks(ask).becoming(asked),
		c.answers(answer).becoming(answered),
		c.answers(answer).becoming(answered),
		c.asks(ask).becoming(asked),
		c.asks(ack(1001, 5001)),
		c.asks(data(1001, 5001, "no SYN").with(mss(said))),
		c.answers(data(5001, 1007, "neither").with(mss(said))),
		flows{Established: 1},
	}
}

// What the ends of a connection announce as their MSS is lowered to what fits the way
// between them, and never raised.
func TestMSS(t *testing.T) {
	var cases []testCase
	for _, c := range relays {
		for i, f := range bothFamilies {
			fits := c.fits()[i]
			add := func(name, flags string, steps ...step) {
				cases = append(cases, testCase{
					name: name + ", " + c.name, forwards: []string{c.forward + flags}, families: []family{f}, steps: steps,
				})
			}
			add("too large", "", c.announces(fits+1, fits)...)
			add("much too large", "", c.announces(65535, fits)...)
			add("as it fits", "", c.announces(fits, fits)...)
			add("small", "", c.announces(500, 500)...)
			add("off", " --mss off", c.announces(9000, 9000)...)
			add("a number", " --mss 1200", c.announces(1460, 1200)...)
			add("less than a number", " --mss 1200", c.announces(1199, 1199)...)
			add("a number that does not fit", " --mss 9000", c.announces(9100, fits)...)
			add("none", "", c.handshake()...)

			rule := settings(func(s *xfwd.Settings) { s.MSS4, s.MSS6 = 1310, 1290 })
			ruled := [2]uint16{1310, 1290}[i]
			add("as a rule of netfilter says", "", append([]step{rule}, c.announces(1460, ruled)...)...)
			add("a number in place of a rule's", " --mss 1330", append([]step{rule}, c.announces(1460, 1330)...)...)
			add("off in spite of a rule", " --mss off", append([]step{rule}, c.announces(9000, 9000)...)...)
		}
	}
	runCases(t, cases)
}

// Wherever it is among the options: at odd offsets and at the very end; but not behind
// their end, and not with another length.
func TestMSSAmongOptions(t *testing.T) {
	var cases []testCase
	for _, c := range relays {
		for i, f := range bothFamilies {
			fits := mss(c.fits()[i])
			short := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionData: []byte{5}}
			var steps []step
			for _, options := range [][2][]layers.TCPOption{
				{{nothing, mss(9001)}, {nothing, fits}},
				{{nothing, nothing, mss(9001), timestamp}, {nothing, nothing, fits, timestamp}},
				{{timestamp, nothing, mss(65535)}, {timestamp, nothing, fits}},
				{
					{timestamp, timestamp, timestamp, nothing, sackPermitted, nothing, sackPermitted, mss(1461)},
					{timestamp, timestamp, timestamp, nothing, sackPermitted, nothing, sackPermitted, fits},
				},
				{append(slices.Repeat([]layers.TCPOption{nothing}, 35), mss(0x8001)), append(slices.Repeat([]layers.TCPOption{nothing}, 35), fits)},
				{slices.Repeat([]layers.TCPOption{nothing}, 40), slices.Repeat([]layers.TCPOption{nothing}, 40)},
				{{endOfOptions, sackPermitted, nothing, mss(9000)}, {endOfOptions, sackPermitted, nothing, mss(9000)}},
				{{short, mss(9000)}, {short, mss(9000)}},
				{{mss(9000), mss(9000)}, {fits, mss(9000)}},
			} {
				steps = append(steps,
					c.asks(syn(1000).with(options[0]...)).becoming(syn(1000).with(options[1]...)),
					c.answers(synAck(5000, 1001).with(options[0]...)).becoming(synAck(5000, 1001).with(options[1]...)),
				)
			}
			steps = append([]step{c.asks(syn(1000)).opening()}, steps...)
			cases = append(cases,
				testCase{name: c.name, forwards: []string{c.forward}, families: []family{f}, steps: steps},
				testCase{
					name: "with headers of IP before, " + c.name, forwards: []string{c.forward}, families: []family{f},
					steps: []step{
						c.asks(syn(1000).with(mss(9000)), withOptions, extended(hopByHop, destinationOptions)).becoming(syn(1000).with(fits)).opening(),
						c.answers(synAck(5000, 1001).with(nothing, mss(9000)), withOptions, extended(hopByHop)).becoming(synAck(5000, 1001).with(nothing, fits)),
					},
				})
		}
	}
	runCases(t, cases)
}

// The MTU of a neighbour's device counts before the neighbour is known, too.
func TestMSSForUnknownNeighbours(t *testing.T) {
	c := through(client.at(31000), host.at(80), unknown.at(8080)).seenAs(second.at(31000)).between(toRouter, toUnknown)
	var cases []testCase
	for i, f := range bothFamilies {
		cases = append(cases, testCase{
			name: "too large", forwards: []string{"80 unknown:8080 --source masquerade"}, families: []family{f},
			steps: c.announces(9000, c.fits()[i]),
		})
	}
	runCases(t, cases)
}

// Packets to and from this host itself stay.
func TestMSSOfTargetsHere(t *testing.T) {
	runCases(t, []testCase{{
		name:     "large",
		forwards: []string{"80 30080 --mss 1000"},
		steps: []step{
			web.asks(syn(1000).with(mss(9000))).opening(),
			web.answers(synAck(5000, 1001).with(mss(9000))),
		},
	}})
}
