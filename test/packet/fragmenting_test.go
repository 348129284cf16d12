// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"strings"
	"testing"
)

// fragmentation is a step: a packet that becomes fragments, which come in once more. Each but
// the last has so much data.
type fragmentation struct {
	exchange
	data int
}

// isFragmented wants the packet fragmented. A flow it may make, but as traffic only its
// fragments count.
func (e exchange) isFragmented(data int) fragmentation {
	e.verdict, e.ignored, e.fragmented = redirected, true, true
	return fragmentation{e, data}
}

// fragments are what the packet becomes. What was behind it in the frame is not in theirs.
func (f fragmentation) fragments() (all []packet) {
	whole := f.in.fragment
	data := len(f.in.content(4))
	for begin := 0; begin < data; begin += f.data {
		part := f.in
		part.trailer = ""
		part.fragment = &fragment{whole.id, whole.offset + begin, whole.offset + begin + f.data}
		if begin+f.data >= data {
			part.fragment.end = whole.end
		}
		all = append(all, part)
	}
	return all
}

func (f fragmentation) take(r *run) {
	r.Helper()
	fragments := f.fragments()
	last := len(fragments) - 1
	f.out = fragments[last]
	if f.device == "" {
		f.device = "eth0"
	}
	f.mac = r.mac(f.device)
	capture := r.host.Capture(f.device)
	f.exchange.take(r)
	var came [][]byte
	for _, packet := range capture.Stop() {
		if !packet.Outgoing {
			came = append(came, packet.Data())
		}
	}
	// The test run does not send what comes out of it.
	if len(came) != last {
		r.Fatalf("%d fragments have come before the last one, want %d", len(came), last)
	}
	for i, fragment := range fragments[:last] {
		r.compare(r.link.frameBetween(fragment.known(r.chosen), r.family, f.mac, somebody), came[i])
	}
}

// What may be fragmented is, if it is too big for the device that it would leave by.
func TestFragmenting(t *testing.T) {
	const (
		data = (podMTU - 20) / 8 * 8
		most = podMTU - 20 - 8 // of UDP, that fits
	)
	letters := strings.Repeat("abcdefghijklm", 300)
	request := func(size int, shapes ...shaping) exchange {
		return arrives(toThePod.request(udp(letters[:size]), shapes...))
	}
	tooBigForThePod := icmpKind{"too big", 3, 4, 2, 0, podMTU}
	answered := func(e exchange) exchange { return e.isAnswered("too-big", tooBigForThePod.most(e.in)) }
	whole := last(7, 0)
	cases := []testCase{
		{
			name: "of a flow", forwards: []string{"80/tcp+udp pod:8080"},
			steps: []step{
				toThePod.asks(udp("?")).opening(),
				toThePod.asks(udp(letters[:most]), whole),
				request(most+1, whole).isFragmented(data),
				request(2*data-8, whole).isFragmented(data),
				request(2*data-8+1, whole).isFragmented(data),
				arrives(toThePod.request(unchecked(letters[:most+1]), whole)).isFragmented(data),
				request(most+1, whole, trailed("\x00\x00\x00")).isFragmented(data),
				answered(request(most + 1)),
				answered(request(most+1, whole, withOptions)),
				answered(request(2*most, whole).merged(most+1, 2)),
			},
		},
		{
			name: "of a client's first packet", forwards: []string{"80/tcp+udp pod:8080"},
			steps: []step{
				request(most+1, whole).opening().isFragmented(data),
				// The fragments come, and follow the flow.
				toThePod.asks(udp(letters[:most+1]), first(7, data)),
				toThePod.asks(udp(letters[:most+1]), last(7, data)),
			},
		},
		{
			name: "of fragments", forwards: []string{"80/tcp+udp pod:8080"},
			steps: []step{
				request(2*1480-8+100, first(7, 1480)).opening().isFragmented(data),
				request(2*1480-8+100, piece(7, 1480, 2*1480)).isFragmented(data),
				toThePod.asks(udp(letters[:2*1480-8+100]), last(7, 2*1480)),
				request(2*1480-8, first(8, 1480)).isFragmented(data),
				request(2*1480-8, last(8, 1480)).isFragmented(data),
			},
		},
		{
			name: "of TCP", forwards: []string{"80/tcp+udp pod:8080"},
			steps: append(toThePod.handshake(),
				arrives(toThePod.request(data1400(letters), whole)).isFragmented(data),
				answered(arrives(toThePod.request(data1400(letters)))),
			),
		},
		{
			name: "of an answer", forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps: []step{
				toTheRemote.asks(udp("?")).opening(),
				arrives(toTheRemote.answer(udp(letters[:1473]), whole)).on("eth1").isFragmented(1480),
			},
		},
	}
	for i := range cases {
		cases[i].families, cases[i].links = onlyIPv4, onlyEthernet
	}
	runCases(t, cases)
}

// data1400 is a segment of TCP with so much.
func data1400(letters string) body { return data(1001, 5001, letters[:1400]) }
