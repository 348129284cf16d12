// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
)

// What hides for which port it is does not reach the host's own service behind the frontend's
// port. Nothing else is lost by that.
func TestWhatHidesItsPort(t *testing.T) {
	big := data(1, 1, "A segment of TCP that is sent in fragments.")
	request := func(from, to endpoint, shapes ...shaping) packet { return between(from, to, big, shapes...) }
	headers := slices.Repeat([]extension{destinationOptions}, 7)
	asks := func(p packet) exchange { return arrives(p) }
	cases := []testCase{
		{
			name:     "in a first fragment of eight bytes",
			forwards: []string{"80 30080", "vip:81 30080", "82/udp 30080"},
			steps: []step{
				asks(request(client.at(40000), host.at(80), first(7, 8))).isDropped("unreadable"),
				asks(request(client.at(40000), host.at(80), first(7, 16))).isDropped("unreadable"),
				asks(request(client.at(40000), second.at(80), first(7, 8))).isDropped("unreadable"),
				asks(request(client.at(40000), vip.at(81), first(7, 8))).isDropped("unreadable"),
				asks(request(client.at(40000), host.at(80), first(7, 24))).opening().becomes(request(client.at(40000), host.at(30080), first(7, 24))),
			},
		},
		{
			name:     "but the port is nobody's",
			forwards: []string{"80 30080", "vip:81 30080", "82/udp 30080", "83 30080 --device eth1"},
			steps: []step{
				asks(request(client.at(40000), host.at(22), first(7, 8))).stays("malformed"),
				asks(request(client.at(40000), host.at(81), first(7, 8))).stays("malformed"),
				asks(request(client.at(40000), host.at(82), first(7, 8))).stays("malformed"),
				asks(request(client.at(40000), host.at(83), first(7, 8))).stays("malformed"),
				asks(request(client.at(40000), neighbour.at(80), first(7, 8))).stays("malformed"),
				leaves(request(host.at(80), client.at(40000), first(7, 8))).stays("malformed"),
			},
		},
		{
			name:     "by seven extension headers",
			forwards: []string{"80/udp 30080"},
			families: onlyIPv6,
			steps: []step{
				asks(request(client.at(40000), host.at(22), extended(headers...))).isDropped("unreadable").ofNobody(),
				asks(request(client.at(40000), second.at(80), extended(headers...))).isDropped("unreadable").ofNobody(),
				asks(request(client.at(40000), neighbour.at(80), extended(headers...))).stays("malformed"),
				leaves(request(host.at(80), client.at(40000), extended(headers...))).stays("malformed"),
			},
		},
		{
			name:     "by headers that a first fragment has no room for",
			forwards: []string{"80 30080"},
			families: onlyIPv6,
			steps: []step{
				asks(request(client.at(40000), host.at(80), extendedInside(destinationOptions), first(7, 8))).isDropped("unreadable").ofNobody(),
				asks(request(client.at(40000), neighbour.at(80), extendedInside(destinationOptions), first(7, 8))).stays("malformed"),
				asks(between(client.at(40000), host.at(80), udp("Long enough"), extendedInside(destinationOptions), first(7, 8))).stays("malformed"),
			},
		},
	}
	runCases(t, cases)
}

// Where nothing is forwarded, nothing is dropped.
func TestWhatHidesItsPortFromNoForward(t *testing.T) {
	headers := slices.Repeat([]extension{destinationOptions}, 7)
	runCases(t, []testCase{{
		name:     "by seven extension headers",
		families: onlyIPv6,
		steps:    []step{arrives(between(client.at(40000), host.at(80), syn(1), extended(headers...))).stays("malformed")},
	}})
}
