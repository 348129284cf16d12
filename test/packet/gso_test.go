// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// A packet that stands for several on the wire is translated once and counted as
// what the wire carries.
func TestSegments(t *testing.T) {
	payload := strings.Repeat("0123456789", 100)
	away := through(client.at(40000), host.at(80), second.at(30080))
	var cases []testCase
	for _, c := range []struct {
		name    string
		forward string
		connection
	}{
		{"to the same address", "80/tcp+udp 30080", web},
		{"to another address", "host:80/tcp+udp second:30080", away},
	} {
		cases = append(cases,
			testCase{
				name:     "of TCP " + c.name,
				forwards: []string{c.forward},
				steps: slices.Concat(c.handshake(), []step{
					c.asks(data(1001, 5001, payload)).merged(400, 3),
					c.answers(data(5001, 2001, payload)).merged(400, 3),
					c.asks(data(2001, 6001, payload).with(timestamp)).merged(500, 2),
					c.asks(data(3001, 6001, "alone")).merged(500, 1),
					c.answers(data(6001, 3006, payload), withOptions).merged(999, 2),
					// The number of segments is not known yet.
					c.asks(data(3006, 7001, payload)).merged(400, 0),
					c.asks(data(4006, 7001, payload)).merged(500, 0),
					c.answers(data(7001, 5006, payload), extended(hopByHop)).merged(1, 0),
				}),
			},
			testCase{
				name:     "of UDP " + c.name,
				forwards: []string{c.forward},
				steps: []step{
					c.asks(udp(payload)).merged(400, 3).opening(),
					c.answers(udp(payload)).merged(400, 3),
					c.answers(udp(payload)).merged(300, 0),
				},
			},
			testCase{
				// Packets over 64 KB have no length in their headers.
				name:     "of TCP without a length " + c.name,
				forwards: []string{c.forward},
				steps: append(c.handshake(),
					c.asks(data(1001, 5001, payload), mangled(withoutLength)).merged(400, 3),
					c.answers(data(5001, 2001, payload), mangled(withoutLength)).merged(400, 3),
				),
			},
			testCase{
				name:     "of tagged frames " + c.name,
				forwards: []string{c.forward},
				links:    onlyEthernet,
				steps:    []step{c.asks(udp(payload), tagged(0)).merged(400, 3).opening()},
			},
		)
	}
	runCases(t, cases)
}

// withoutLength takes the length out of an IP header.
func withoutLength(ip []byte) {
	if ip[0]>>4 == 6 {
		ip[4], ip[5] = 0, 0
		return
	}
	ip[2], ip[3], ip[10], ip[11] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:20]))
}
