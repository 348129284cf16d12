// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Errors are never answered by errors, nor are fragments that have no ports (RFC
// 5508, REQ-10e; RFC 1812 4.3.2.7; RFC 4443 2.4).
func TestWhatIsNeverAnswered(t *testing.T) {
	request := data(1001, 5001, "a question")
	about := between(pod.itself(), client.itself(), portUnreachable.full(toThePod.forwarded(request)), hops(1))
	runCases(t, []testCase{
		{
			name:     "errors",
			forwards: []string{"80 pod:8080"},
			steps: slices.Concat(toThePod.handshake(), []step{
				toThePod.asks(request),
				arrives(about).on("pod0").isDropped("time-exceeded"),
			}),
		},
		{
			name:     "later fragments",
			forwards: []string{"80/udp pod:8080"},
			steps: []step{
				toThePod.asks(big, first(7, 24)).opening(),
				arrives(toThePod.request(big, last(7, 24), hops(1))).isDropped("time-exceeded"),
			},
		},
	})
}

// How many answers of a kind may be sent in a second: by each processor, and to one client.
const answersPerSecond, answersPerClient = 1000, 100

// crowded is one of many clients, each in a network of its own; with alike, their IPv6 addresses are in one /64.
func crowded(i int, alike bool) machine {
	v6 := [16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 1, byte(i >> 8), byte(i)}
	if alike {
		v6 = [16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 1, 14: byte(i >> 8), 15: byte(i)}
	}
	return machineOf([4]byte{100, 64, byte(i >> 8), byte(i)}, v6)
}

// ask has a packet arrive, and returns whether it is answered.
func (r *run) ask(p packet) bool {
	r.Helper()
	out, err := r.process(input{
		program: r.programs[place{ingress, r.link}], device: "eth0", frame: r.link.frame(p, r.family, r.mac("eth0")),
	})
	if err != nil || out.verdict != redirected && out.verdict != drop {
		r.Fatalf("the verdict is %v, %v", out.verdict.of(ingress), err)
	}
	return out.verdict == redirected
}

// askMany has packets arrive, of which so many may be answered at once, and as many in each second.
func (r *run) askMany(packets, most int, reason string, packet func(i int) packet) {
	r.Helper()
	before, began := r.counted(), time.Now()
	answers := 0
	for i := range packets {
		if r.ask(packet(i)) {
			answers++
		}
	}
	allowed := most + int(float64(most)*time.Since(began).Seconds()) + runtime.NumCPU()
	if answers < min(packets, most/runtime.NumCPU()) || answers > allowed {
		r.Errorf("%d of %d packets were answered, want at most %d", answers, packets, allowed)
	}
	if got := r.counted().since(before).Drops[reason]; got != uint64(packets) {
		r.Errorf("%d packets were counted, want %d", got, packets)
	}
}

// No more than a thousand answers of a kind are sent in a second on each processor, and no more than a hundred to
// one client (RFC 5508, REQ-10f; RFC 1812 4.3.2.8; RFC 4443 2.4). What is not answered is counted like what is.
func TestAnswersAreLimited(t *testing.T) {
	most := answersPerSecond * runtime.NumCPU()
	tooBig := udp(strings.Repeat("x", podMTU))
	refused := func(i int) packet { return between(crowded(i, false).at(40000), host.at(80), udp("?")) }
	// last is a client that no crowd has.
	last := func(b body, shapes ...shaping) packet {
		return between(crowded(0xffff, false).at(40000), host.at(80), b, shapes...)
	}
	limited := func(name string, families []family, steps ...step) testCase {
		return testCase{name: name, forwards: []string{"80/udp pod:8080"}, links: onlyEthernet[:1], families: families, steps: steps}
	}
	runCases(t, []testCase{
		limited("of one client", nil, noBackend, does(func(r *run) {
			r.askMany(10*answersPerClient, answersPerClient, "no-backend", func(int) packet { return web.request(udp("?")) })
			if !r.ask(last(udp("?"))) {
				r.Error("one client has used up the answers of all")
			}
		})),
		limited("of a network of IPv6", onlyIPv6, noBackend, does(func(r *run) {
			r.askMany(10*answersPerClient, answersPerClient, "no-backend", func(i int) packet {
				return between(crowded(i, true).at(40000), host.at(80), udp("?"))
			})
		})),
		limited("in all", nil, noBackend, does(func(r *run) {
			r.crowded = true
			r.askMany(2*most, most, "no-backend", refused)
		})),
		limited("of each kind", nil,
			toThePod.asks(udp("?")).opening(),
			noBackend,
			does(func(r *run) {
				r.crowded = true
				r.askMany(2*most, most, "no-backend", refused)
				if !r.ask(toThePod.request(tooBig)) {
					r.Error("a flood that is refused stops path MTU discovery")
				}
				if !r.ask(toThePod.request(udp("?"), hops(1))) {
					r.Error("a flood that is refused stops traceroute")
				}
			}),
		),
		limited("of confirmed flows", nil,
			toThePod.asks(udp("?")).opening(),
			toThePod.answers(udp("!")).on("pod0"),
			toThePod.asks(udp("?")),
			does(func(r *run) {
				r.crowded = true
				r.askMany(2*most, most, "too-big", func(i int) packet {
					return between(crowded(i, false).at(40000), host.at(80), tooBig)
				})
				if !r.ask(toThePod.request(tooBig)) {
					r.Error("a flood that anybody can send stops path MTU discovery of a flow that is confirmed")
				}
			}),
		),
	})
}

// No answer has more bytes than the packet that it answers and the headers of an ICMP error, so nobody gains by asking
// in another's name. A reset has no more than the shortest segment.
func TestAnswersAmplifyNothing(t *testing.T) {
	longest := map[family]int{4: 20 + 8, 6: 40 + 8}
	sizes := []int{0, 1, 7, 8, 100, 500, 1000, 1400}
	var cases []testCase
	for _, f := range bothFamilies {
		cases = append(cases, testCase{
			name: "refused", forwards: []string{"80/tcp+udp 30080"}, links: onlyEthernet[:1], families: []family{f},
			steps: []step{noBackend, does(func(r *run) {
				for i, size := range sizes {
					payload := strings.Repeat("x", size)
					for _, c := range []struct {
						body  body
						extra int
					}{{udp(payload), longest[f]}, {data(1, 1, payload), 0}, {segment{flags: "S", seq: 1, payload: payload}, 0}} {
						frame := r.link.frame(between(client.at(41000+i), host.at(80), c.body), r.family, r.mac("eth0"))
						out, err := r.process(input{program: r.programs[place{ingress, r.link}], device: "eth0", frame: frame})
						if err != nil || out.verdict != redirected {
							r.Fatalf("the verdict is %v, %v", out.verdict.of(ingress), err)
						}
						if len(out.frame) > len(frame)+c.extra {
							r.Errorf("%d bytes are answered with %d", len(frame), len(out.frame))
						}
					}
				}
			})},
		})
	}
	runCases(t, cases)
}

// Who sends from a group address of Ethernet asks for an answer to all stations.
func TestAnswersGoToOneStation(t *testing.T) {
	runCases(t, []testCase{{
		name: "source is a group", forwards: []string{"80/tcp+udp 30080"}, links: onlyEthernet[:1],
		steps: []step{noBackend, does(func(r *run) {
			for _, b := range []body{udp("?"), syn(1)} {
				frame := r.link.frame(web.request(b), r.family, r.mac("eth0"))
				copy(frame[6:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
				out, err := r.process(input{program: r.programs[place{ingress, r.link}], device: "eth0", frame: frame})
				if err != nil || out.verdict != drop {
					r.Errorf("the verdict is %v, %v", out.verdict.of(ingress), err)
				}
			}
		})},
	}})
}
