// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// One's complement has two zeroes, which is where incremental checksums go
// wrong (RFC 1624).
func TestChecksumsAtZero(t *testing.T) {
	var cases []testCase
	for _, f := range bothFamilies {
		request := udpOfZero(f, dns.client, dns.frontend)
		forwarded := udpOfZero(f, dns.client, dns.target)
		answer := udpOfZero(f, dns.target, dns.client)
		reply := udpOfZero(f, dns.frontend, dns.client)
		away := through(client.at(40000), host.at(53), second.at(30053))
		cases = append(cases,
			testCase{
				name:     "UDP of " + f.String() + " writes a checksum of zero as all ones",
				forwards: []string{"53/udp 30053"},
				families: []family{f},
				steps: []step{
					dns.asks(request).opening(), dns.asks(forwarded),
					dns.answers(answer), dns.answers(reply),
				},
			},
			testCase{
				name:     "UDP of " + f.String() + " with another address, too",
				forwards: []string{"host:53/udp second:30053"},
				families: []family{f},
				steps: []step{
					away.asks(udpOfZero(f, away.client, away.frontend)).opening(),
					away.asks(udpOfZero(f, away.client, away.target)),
					away.answers(udpOfZero(f, away.target, away.client)),
					away.answers(udpOfZero(f, away.frontend, away.client)),
				},
			},
			testCase{
				name:     "TCP of " + f.String() + " writes a checksum of zero as zero",
				forwards: []string{"80 30080"},
				families: []family{f},
				steps: []step{
					web.asks(tcpOfZero(f, web.client, web.frontend)).opening(),
					web.asks(tcpOfZero(f, web.client, web.target)),
					web.answers(tcpOfZero(f, web.target, web.client)),
					web.answers(tcpOfZero(f, web.frontend, web.client)),
				},
			},
		)
	}
	runCases(t, cases)
}

// udpOfZero is a datagram whose checksum, between two endpoints, is computed to
// be zero.
func udpOfZero(f family, from, to endpoint) datagram {
	b := udp("\x00\x00 and more").bytes(f, from, to)
	return udp(string(b[6:8]) + " and more")
}

// tcpOfZero is likewise a segment.
func tcpOfZero(f family, from, to endpoint) segment {
	b := data(1001, 5001, "\x00\x00 and more").bytes(f, from, to)
	return data(1001, 5001, string(b[16:18])+" and more")
}

// Whatever the addresses, the ports and the payload, the result is what would
// have been computed for them.
func TestChecksumsOfAnything(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	anything := func() string {
		b := make([]byte, source.IntN(200))
		for i := range b {
			b[i] = byte(source.Uint32())
		}
		return string(b)
	}
	var cases []testCase
	for _, forward := range []struct {
		words  string
		target machine
	}{{"host:1-65535/tcp+udp 30000", host}, {"host:1-65535/tcp+udp second:30000", second}} {
		c := testCase{name: forward.words, forwards: []string{forward.words}}
		for range 50 {
			from := anyone(source)
			// The target's own port is left out: it has cases of its own.
			to := host.at(1 + source.IntN(29999))
			flow := through(from, to, forward.target.at(30000))
			c.steps = append(c.steps,
				flow.asks(udp(anything())).opening(), flow.answers(udp(anything())),
				flow.asks(data(source.Uint32(), source.Uint32(), anything())).opening(),
				flow.answers(data(source.Uint32(), source.Uint32(), anything())),
			)
		}
		cases = append(cases, c)
	}
	runCases(t, cases)
}

// anyone is an endpoint somewhere in the world.
func anyone(source *rand.Rand) endpoint {
	var v4 [4]byte
	binary.BigEndian.PutUint32(v4[:], source.Uint32())
	v4[0] = 1 + v4[0]%100
	v6 := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint64(v6[4:], source.Uint64())
	binary.BigEndian.PutUint32(v6[12:], source.Uint32())
	return machineOf(v4, v6).at(1 + source.IntN(65535))
}
