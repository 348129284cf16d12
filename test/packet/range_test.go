// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
)

func TestRanges(t *testing.T) {
	goesTo := func(frontend, target int) []step {
		return through(client.at(frontend+1), host.at(frontend), host.at(target)).handshake()
	}
	outside := func(port int) []step {
		return []step{arrives(between(client.at(40000), host.at(port), syn(1))).stays("no-frontend")}
	}
	runCases(t, []testCase{
		{
			name:     "port by port",
			forwards: []string{"9000-9009 19000-19009"},
			steps: slices.Concat(
				goesTo(9000, 19000), goesTo(9001, 19001), goesTo(9005, 19005), goesTo(9009, 19009),
				outside(8999), outside(9010),
			),
		},
		{
			name:     "to one port",
			forwards: []string{"9000-9009 30080"},
			steps: slices.Concat(
				goesTo(9000, 30080), goesTo(9005, 30080), goesTo(9009, 30080),
				outside(8999), outside(9010),
			),
		},
		{
			name:     "onto itself, a port further",
			forwards: []string{"9000-9009 9001-9010"},
			steps:    slices.Concat(goesTo(9000, 9001), goesTo(9009, 9010), outside(8999)),
		},
		{
			name:     "two that touch",
			forwards: []string{"9000-9006 19000-19006", "9007-9012 29000-29005"},
			steps: slices.Concat(
				goesTo(9000, 19000), goesTo(9006, 19006), goesTo(9007, 29000), goesTo(9012, 29005),
				outside(8999), outside(9013),
			),
		},
		{
			name:     "all ports to one",
			forwards: []string{"1-65535 30080"},
			steps: slices.Concat(
				goesTo(1, 30080), goesTo(80, 30080), goesTo(30079, 30080), goesTo(30080, 30080),
				goesTo(30081, 30080), through(client.at(1), host.at(65535), host.at(30080)).handshake(),
				outside(0),
			),
		},
		{
			name:     "the upper half",
			forwards: []string{"32768-65535 1-32768"},
			steps: slices.Concat(
				goesTo(32768, 1), goesTo(65534, 32767), through(client.at(7), host.at(65535), host.at(32768)).handshake(),
			),
		},
		{
			name:     "of UDP",
			forwards: []string{"9000-9009/udp 19000-19009"},
			steps: slices.Concat(
				[]step{
					through(client.at(40000), host.at(9000), host.at(19000)).asks(udp("?")).opening(),
					through(client.at(40000), host.at(9009), host.at(19009)).asks(udp("?")).opening(),
					through(client.at(40000), host.at(9009), host.at(19009)).answers(udp("!")),
					arrives(between(client.at(40000), host.at(9010), udp("?"))).stays("no-frontend"),
				},
				outside(9000),
			),
		},
	})
}
