// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// converse opens a TCP connection and a UDP flow whose packets have a shape.
func (c connection) converse(shapes ...shaping) []step {
	return []step{
		c.asks(syn(1000), shapes...).opening(),
		c.answers(synAck(5000, 1001), shapes...),
		c.asks(data(1001, 5001, "a question of odd length."), shapes...),
		c.answers(data(5001, 1026, "an answer"), shapes...),
		c.asks(udp("a question of odd length."), shapes...).opening(),
		c.answers(udp("an answer"), shapes...),
	}
}

func TestOptionsOfIPv4(t *testing.T) {
	away := through(client.at(40000), host.at(80), second.at(30080))
	runCases(t, []testCase{
		{
			name:     "stay",
			forwards: []string{"80/tcp+udp 30080"},
			families: onlyIPv4,
			steps:    web.converse(withOptions),
		},
		{
			name:     "stay when addresses change",
			forwards: []string{"host:80/tcp+udp second:30080"},
			families: onlyIPv4,
			steps:    away.converse(withOptions),
		},
	})
}

func TestExtensionHeaders(t *testing.T) {
	away := through(client.at(40000), host.at(80), second.at(30080))
	var cases []testCase
	for name, extensions := range map[string][]extension{
		"hop-by-hop":           {hopByHop},
		"destination options":  {destinationOptions},
		"long options":         {longOptions},
		"routing that is over": {routing},
		"all of them":          {hopByHop, destinationOptions, routing, destinationOptions},
		"six":                  {hopByHop, destinationOptions, routing, longOptions, destinationOptions, longOptions},
	} {
		cases = append(cases,
			testCase{
				name:     name,
				forwards: []string{"80/tcp+udp 30080"},
				families: onlyIPv6,
				steps:    web.converse(extended(extensions...)),
			},
			testCase{
				name:     name + " when addresses change",
				forwards: []string{"host:80/tcp+udp second:30080"},
				families: onlyIPv6,
				steps:    away.converse(extended(extensions...)),
			},
		)
	}
	seven := slices.Repeat([]extension{destinationOptions}, 7)
	cases = append(cases,
		testCase{
			name:     "seven are too many",
			forwards: []string{"80 30080"},
			families: onlyIPv6,
			steps:    []step{arrives(web.request(syn(1), extended(seven...))).isDropped("unreadable").ofNobody()},
		},
		testCase{
			// The host is not its destination but a stop on its way (RFC 8200 4.4).
			name:     "routing that goes on",
			forwards: []string{"80 30080"},
			families: onlyIPv6,
			steps:    []step{arrives(web.request(syn(1), extended(unfinishedRouting))).stays("not-this-host")},
		},
	)
	runCases(t, cases)
}

// Bytes behind a packet are none of it.
func TestTrailers(t *testing.T) {
	padding := trailed("\x00\x00\x00\x00\x00\x00")
	runCases(t, []testCase{
		{
			name:     "of TCP",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(syn(1000), padding).opening(),
				web.answers(synAck(5000, 1001), padding),
				web.asks(ack(1001, 5001), padding),
				flows{Established: 1},
			},
		},
		{
			name:     "of UDP",
			forwards: []string{"53/udp 30053"},
			steps:    []step{dns.asks(udp("?"), padding).opening(), dns.answers(udp("!"), padding)},
		},
	})
}

// An IPv6 packet with an IPv4-mapped address (RFC 4291 2.5.5.2) is not taken for
// one of IPv4.
func TestMappedAddresses(t *testing.T) {
	mapped := func(m machine) machine {
		return machine{lab.Addresses{V4: m.V4, V6: netip.AddrFrom16(m.V4.As16())}}
	}
	runCases(t, []testCase{{
		name:     "of the client, of the host, and of both",
		forwards: []string{"80/tcp+udp 30080"},
		families: onlyIPv6,
		steps: []step{
			arrives(between(mapped(client).at(40000), host.at(80), syn(1))).stays("martian"),
			arrives(between(client.at(40000), mapped(host).at(80), udp("?"))).stays("martian"),
			arrives(between(mapped(client).at(40000), mapped(host).at(80), syn(1))).stays("martian"),
			leaves(between(mapped(host).at(30080), mapped(client).at(40000), synAck(1, 2))).stays("martian"),
			flows{},
		},
	}})
}
