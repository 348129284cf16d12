// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"slices"
	"testing"

	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// Of several addresses of the host a client has one in all its flows, and another only where no
// port of that is left. Which one it is, is by its address.
func TestSourceAddresses(t *testing.T) {
	var cases []testCase
	for _, f := range bothFamilies {
		pool := []machine{host, second, gateway}
		slices.SortFunc(pool, func(a, b machine) int { return a.address(f).Compare(b.address(f)) })
		// of is the address for a client, or the one so many behind it.
		of := func(m machine, behind uint32) machine {
			count := uint32(len(pool))
			return pool[(xfwd.HashOfSource(m.address(f))%count+behind)%count]
		}
		from := func(m machine, port int) relayed {
			return through(m.at(port), host.at(80), remote.at(8080)).between(toRouter, toRemote)
		}
		forwards := []string{"80/tcp+udp remote:8080 --source masquerade --source-address gateway,host,second"}
		onePort := settings(func(s *xfwd.Settings) { s.Masquerade = xfwd.PortRange{First: 20000, Last: 20000} })

		var ofMany []step
		seen := make(map[machine]bool)
		for i := range 20 {
			m := addresses(fmt.Sprintf("198.51.100.%d", 100+i), fmt.Sprintf("2001:db8:51::%x", 0x100+i))
			for _, port := range []int{31000 + i, 31100 + i} {
				c := from(m, port).seenAs(of(m, 0).at(port))
				ofMany = append(ofMany, c.asks(udp("?")).opening(), c.answers(udp("!")))
			}
			seen[of(m, 0)] = true
		}
		if len(seen) != len(pool) {
			t.Fatalf("the clients have %d addresses, want %d", len(seen), len(pool))
		}
		full := []step{onePort}
		var all []relayed
		for behind := range len(pool) {
			c := from(client, 40000+behind).seenAs(of(client, uint32(behind)).at(20000))
			all = append(all, c)
			full = append(full, c.asks(udp("?")).opening())
		}
		full = append(full, arrives(from(client, 40003).request(udp("?"))).isDropped("no-source-port"))
		for _, c := range all {
			full = append(full, c.answers(udp("!")), c.asks(udp("?")))
		}
		// Of another forward without a choice of its own.
		other := through(client.at(31000), host.at(81), remote.at(8081)).seenAs(second.at(31000)).between(toRouter, toRemote)
		itself := from(client, 31000).seenAs(client.at(31000))
		first := from(client, 31000).seenAs(of(client, 0).at(31000))
		cases = append(cases, []testCase{
			{
				name: "a connection, " + f.String(), families: []family{f}, forwards: forwards,
				steps: append(first.handshake(), first.asks(data(1001, 5001, "a question")), first.answers(data(5001, 1011, "an answer"))),
			},
			{name: "each client has one, " + f.String(), families: []family{f}, forwards: forwards, steps: ofMany},
			{name: "another where its ports are taken, " + f.String(), families: []family{f}, forwards: forwards, steps: full},
			{
				name: "not of other forwards, " + f.String(), families: []family{f},
				forwards: append(slices.Clone(forwards), "81/tcp+udp remote:8081 --source masquerade"),
				steps:    other.handshake(),
			},
			{
				name: "not where the client's is kept, " + f.String(), families: []family{f}, forwards: forwards,
				steps: append([]step{source(kept)}, itself.handshake()...),
			},
		}...)
	}
	runCases(t, cases)
}
