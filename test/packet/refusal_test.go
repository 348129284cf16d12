// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"strings"
	"testing"
)

// Who cannot be served is told so at once.
func TestNoBackend(t *testing.T) {
	forwards := []string{"80/tcp+udp 30080"}
	long := strings.Repeat("much more than an error may quote ", 40)
	ask := func(b body, shapes ...shaping) exchange { return arrives(web.request(b, shapes...)) }
	none := func(name string, steps ...step) testCase {
		return testCase{name: name, forwards: forwards, links: onlyEthernet, steps: slices.Concat([]step{noBackend}, steps, []step{flows{}})}
	}
	cases := []testCase{
		none("TCP",
			web.isRefused(syn(1000)),
			web.isRefused(syn(0xffffffff)),
			web.isRefused(segment{flags: "S", seq: 1000, payload: "hello"}),
			web.isRefused(syn(1000).with(maximumSegment, sackPermitted, timestamp)),
			web.isRefused(ack(1001, 5001)),
			web.isRefused(data(1001, 5001, "an odd length")),
			web.isRefused(data(1001, 5001, long)),
			web.isRefused(fin(1001, 5001)),
		),
		none("a reset is not answered", ask(rst(1001)).stays("no-flow")),
		none("UDP",
			web.isRefused(udp("")),
			web.isRefused(udp("of odd length")),
			web.isRefused(unchecked("?")),
			web.isRefused(udp(long)),
			web.isRefused(udp(long[:576-20-8-20-8])),
			web.isRefused(udp(long[:576-20-8-20-8+1])),
			web.isRefused(udp(long[:1280-40-8-40-8])),
			web.isRefused(udp(long[:1280-40-8-40-8+1])),
		),
		none("trailers go", web.isRefused(syn(1000), trailed("\x00\x00")), web.isRefused(udp("?"), trailed("\x00\x00"))),
		none("segments", web.isRefused(data(1001, 5001, long)).merged(500, 3), web.isRefused(udp(long)).merged(500, 3)),
		none("of fragments, only the first",
			web.isRefused(udp(long), first(7, 800)),
			ask(udp(long), last(7, 800)).stays("fragment-early"),
		),
		none("those who cannot be answered", noAnswerTo(loopback), noAnswerTo(unspecified), noAnswerTo(everybody), noAnswerTo(broadcast)),
		{
			name:     "and what has a flow goes on",
			forwards: forwards,
			links:    onlyEthernet,
			steps: slices.Concat(web.handshake(), []step{
				noBackend,
				web.asks(data(1001, 5001, "still here")), web.answers(data(5001, 1011, "so am I")),
				through(client.at(40001), host.at(80), host.at(30080)).isRefused(syn(1)),
			}),
		},
	}
	optioned := none("IPv4 options are quoted", web.isRefused(udp(long), withOptions), web.isRefused(syn(1000), withOptions))
	optioned.families = onlyIPv4
	extensions := none("extensions are quoted", web.isRefused(udp(long), extended(hopByHop, longOptions)), web.isRefused(syn(1000), extended(hopByHop)))
	extensions.families = onlyIPv6
	runCases(t, append(cases, optioned, extensions))
}

// Sources that no packet may be answered to.
var (
	unspecified = addresses("0.0.0.0", "::")
	thisNetwork = addresses("0.1.2.3", "::")
	everybody   = addresses("224.0.0.1", "ff02::1")
	broadcast   = addresses("255.255.255.255", "ff0e::1")
	classE      = addresses("240.1.2.3", "fec0::3")
	linkLocal   = addresses("169.254.1.2", "fe80::2")
)

func noAnswerTo(m machine) step {
	return arrives(between(m.at(40000), host.at(80), syn(1))).isDropped("no-backend")
}

// What cannot leave is answered in the name of who was asked, and no flow is made
// of it.
func TestWhatCannotLeave(t *testing.T) {
	to := func(m machine) connection { return through(client.at(40000), host.at(80), m.at(8080)) }
	request := to(pod).request
	fails := func(p packet, reason string, k icmpKind) exchange {
		return arrives(p).isAnswered(reason, k.most(p))
	}
	tooBigForThePod := icmpKind{"too big", 3, 4, 2, 0, podMTU}
	headers := map[family]int{4: 20, 6: 40}
	var cases []testCase
	for _, c := range []struct {
		name, forward, reason string
		stub                  bool
	}{
		{"the kernel says unreachable", "80/tcp+udp nowhere:8080", "no-route", false},
		{"the kernel says nothing", "80/tcp+udp blackhole:8080", "no-route", false},
		{"the kernel forwards nothing", "80/tcp+udp pod:8080", "forwarding-off", true},
	} {
		cases = append(cases, testCase{
			name: c.name, forwards: []string{c.forward}, links: onlyEthernet, stub: c.stub,
			steps: []step{
				fails(request(syn(1000)), c.reason, noRoute),
				fails(request(udp("?")), c.reason, noRoute),
				arrives(between(everybody.at(40000), host.at(80), syn(1))).isDropped("spoofed"),
				flows{},
			},
		})
	}
	for _, f := range bothFamilies {
		// As much UDP as pod0 takes.
		fits := strings.Repeat("x", podMTU-headers[f]-8)
		cases = append(cases, testCase{
			name: "too big for the device", forwards: []string{"80/tcp+udp pod:8080"}, links: onlyEthernet, families: []family{f},
			steps: []step{
				fails(request(udp(fits+"x")), "too-big", tooBigForThePod), flows{},
				toThePod.asks(udp(fits)).opening(),
				fails(request(udp(fits+"x")), "too-big", tooBigForThePod),
				toThePod.asks(udp(fits)),
				// Of segments each must fit.
				toThePod.asks(udp(fits+fits)).merged(len(fits), 2),
				fails(request(udp(fits+fits)), "too-big", tooBigForThePod).merged(len(fits)+1, 2),
			},
		})
	}
	for _, f := range bothFamilies {
		fits := strings.Repeat("x", 1500-headers[f]-8)
		tooBigForEthernet := icmpKind{"too big", 3, 4, 2, 0, 1500}
		cases = append(cases, testCase{
			name: "too big for the device, and XDP", forwards: []string{"80/udp remote:8080 --source masquerade"}, links: onlyEthernet, families: []family{f},
			steps: []step{
				toTheRemote.asks(udp("?")).opening(), toTheRemote.asks(udp(fits)), toTheRemote.answers(udp(fits)),
				fails(request(udp(fits+"x")), "too-big", tooBigForEthernet),
				fails(toTheRemote.answer(udp(fits+"x")), "too-big", tooBigForEthernet).on("eth1"),
				toTheRemote.asks(udp(fits)),
			},
		})
	}
	for _, left := range []int{1, 0x100} { // the latter is none
		dying := func(p packet) packet { p.hops = left; return p }
		cases = append(cases,
			testCase{
				name: "no hops left", forwards: []string{"80/tcp+udp pod:8080"}, links: onlyEthernet,
				steps: slices.Concat([]step{
					fails(dying(request(syn(1000))), "time-exceeded", timeExceeded),
					fails(dying(request(udp("traceroute"))), "time-exceeded", timeExceeded),
					flows{},
				}, toThePod.handshake(), []step{
					fails(dying(request(data(1001, 5001, "?"))), "time-exceeded", timeExceeded),
					fails(dying(toThePod.answer(data(5001, 1001, "!"))), "time-exceeded", timeExceeded).on("pod0"),
					toThePod.asks(data(1001, 5001, "?"), hops(2)),
					toThePod.answers(data(5001, 1002, "!"), hops(2)),
				}),
			},
			testCase{
				name: "no hops left, and XDP", forwards: []string{"80/tcp+udp remote:8080 --source masquerade"}, links: onlyEthernet,
				steps: []step{
					toTheRemote.asks(udp("?")).opening(), toTheRemote.asks(udp("?"), hops(2)), toTheRemote.answers(udp("!")),
					fails(dying(request(udp("?"))), "time-exceeded", timeExceeded),
					fails(dying(toTheRemote.answer(udp("!"))), "time-exceeded", timeExceeded).on("eth1"),
				},
			})
	}
	runCases(t, cases)
}

// Linux takes an address of 240.0.0.0/4 for one of unicast, and so do we; those beside the multicast addresses of IPv6
// are unicast, too.
func TestClientsOfClassE(t *testing.T) {
	var cases []testCase
	for _, m := range []machine{classE, addresses("255.255.255.254", "2001:db8:51::e")} {
		here := through(m.at(40000), host.at(80), host.at(30080))
		there := through(m.at(40000), host.at(81), pod.at(8080)).between(toRouter, toPod)
		oneOfEach := flows{Established: 1, Transitory: 1}
		cases = append(cases, testCase{
			name:     m.V4.String() + " to this host",
			forwards: []string{"80/tcp+udp 30080"},
			steps:    append(here.handshake(), here.asks(udp("?")).opening(), here.answers(udp("!")), oneOfEach),
		}, testCase{
			name:     m.V4.String() + " to a container",
			forwards: []string{"81/tcp+udp pod:8080"},
			steps:    append(there.handshake(), there.asks(udp("?")).opening(), there.answers(udp("!")), oneOfEach),
		}, testCase{
			name:     m.V4.String() + " is refused",
			forwards: []string{"80/tcp+udp 30080,state=draining"},
			links:    onlyEthernet,
			steps:    []step{here.isRefused(syn(1000)), here.isRefused(udp("?"))},
		})
	}
	runCases(t, cases)
}

// Packets from addresses that no packet may be forwarded from are not.
func TestMartians(t *testing.T) {
	var steps []step
	for _, m := range []machine{loopback, unspecified, thisNetwork, everybody, broadcast, broadcasts, linkLocal, host, second} {
		if m == broadcasts {
			m.V6 = host.V6
		}
		steps = append(steps,
			arrives(between(m.at(40000), host.at(80), syn(1))).isDropped("spoofed"),
			arrives(between(m.at(40000), host.at(80), udp("?"))).isDropped("spoofed"),
		)
	}
	runCases(t, []testCase{
		{
			name:     "to a container",
			forwards: []string{"80/tcp+udp pod:8080"},
			steps:    append(steps, flows{}),
		},
		{
			name:     "to another network",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
			steps:    append(steps, flows{}),
		},
	})
}
