// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/xfwd/xfwd/internal/maps"
)

// filtering is a step that tells the programs until the end of the case which sources the kernel takes
// packets from that arrive by a device.
func filtering(device string, filter maps.SourceFilter) step {
	return does(func(r *run) {
		r.Helper()
		r.filters = map[string]maps.SourceFilter{device: filter}
		r.embody(r)
		r.Cleanup(func() {
			r.filters = nil
			r.embody(r)
		})
	})
}

// What the kernel would not forward is not forwarded: it comes by a device by which its source is not.
func TestSourcesOfNewFlows(t *testing.T) {
	from := func(m machine) packet { return between(m.at(40000), host.at(80), udp("?")) }
	spoofed := func(m machine) exchange { return arrives(from(m)).isDropped("spoofed") }
	taken := func(m machine) exchange {
		return through(m.at(40000), host.at(80), pod.at(8080)).between(toRouter, toPod).asks(udp("?")).opening()
	}
	forwards := []string{"80/udp pod:8080"}
	strictly, loosely := filtering("eth0", maps.FilterStrictly), filtering("eth0", maps.FilterLoosely)
	runCases(t, []testCase{
		{
			name: "a device that filters strictly", forwards: forwards, families: onlyIPv4,
			steps: []step{strictly, spoofed(besidePod), spoofed(remote), spoofed(nowhere), flows{}, taken(client)},
		},
		{
			name: "a device that filters loosely", forwards: forwards, families: onlyIPv4,
			steps: []step{loosely, spoofed(nowhere), flows{}, taken(remote), taken(client)},
		},
		{
			name: "another device filters", forwards: forwards, families: onlyIPv4,
			steps: []step{filtering("eth1", maps.FilterStrictly), taken(remote), taken(nowhere)},
		},
		{
			name: "IPv6 has no filter", forwards: forwards, families: onlyIPv6,
			steps: []step{strictly, taken(remote)},
		},
		{
			// The kernel sees it itself.
			name: "to this host", forwards: []string{"80/udp 30080"}, families: onlyIPv4,
			steps: []step{strictly, through(remote.at(40000), host.at(80), host.at(30080)).asks(udp("?")).opening()},
		},
	})
}

// A sender does not say by which way its packet goes on.
func TestSourceRouting(t *testing.T) {
	var cases []testCase
	for name, option := range map[string]uint8{"loosely": looseRoute, "strictly": strictRoute} {
		shape := sourceRouted(option)
		cases = append(cases, testCase{
			name: name, forwards: []string{"80/udp pod:8080", "81/udp remote:8080 --source masquerade"}, families: onlyIPv4,
			steps: []step{
				arrives(toThePod.request(udp("?"), shape)).isDropped("source-routed"), flows{},
				toThePod.asks(udp("?"), withOptions).opening(), toThePod.asks(udp("?")),
				arrives(toThePod.request(udp("?"), shape)).isDropped("source-routed"),
				arrives(toThePod.answer(udp("!"), shape)).isDropped("source-routed").on("pod0"),
				toThePod.answers(udp("!"), withOptions), toThePod.answers(udp("!")),
			},
		}, testCase{
			// The kernel sees it itself.
			name: name + " to this host", forwards: []string{"80/udp 30080"}, families: onlyIPv4,
			steps: []step{web.asks(udp("?"), shape).opening()},
		})
	}
	runCases(t, cases)
}

// A packet from a wire says how long it is.
func TestNoLength(t *testing.T) {
	withoutLength := func(at int) shaping {
		return mangled(func(ip []byte) { binary.BigEndian.PutUint16(ip[at:], 0) })
	}
	runCases(t, []testCase{
		{
			name: "of IPv4", forwards: []string{"80/udp pod:8080"}, families: onlyIPv4,
			steps: []step{arrives(toThePod.request(udp("?"), withoutLength(2))).stays("malformed"), flows{}},
		},
		{
			name: "of IPv6", forwards: []string{"80/udp pod:8080"}, families: onlyIPv6,
			steps: []step{arrives(toThePod.request(udp("?"), withoutLength(4))).isDropped("unreadable").ofNobody(), flows{}},
		},
	})
}

// Packets of a flow come by the device that its first ones came by, or by another one that they may come by.
func TestDevicesOfFlows(t *testing.T) {
	wrong := func(p packet, device string) exchange { return arrives(p).isDropped("wrong-device").on(device) }
	asks := func(b body) exchange { return toThePod.asks(b) }
	request := toThePod.request
	here := through(client.at(40000), host.at(80), host.at(30080))
	onEthernet := []linkLayer{ethernet}
	strictly, loosely := filtering("eth1", maps.FilterStrictly), filtering("eth1", maps.FilterLoosely)
	runCases(t, []testCase{
		{
			name: "the forward has a device", forwards: []string{"80/tcp+udp pod:8080 --device eth0"},
			steps: slices.Concat([]step{asks(udp("?")).opening(), wrong(request(udp("!")), "eth1"), asks(udp("?"))},
				toThePod.handshake(), []step{
					wrong(request(rst(1001)), "eth1"), wrong(request(data(1001, 5001, "?")), "pod0"),
					asks(data(1001, 5001, "?")), flows{Established: 1, Transitory: 1},
				}),
		},
		{
			name: "a forward to this host has one", forwards: []string{"80/tcp+udp 30080 --device eth0"},
			steps: slices.Concat([]step{here.asks(udp("?")).opening(), wrong(here.request(udp("!")), "eth1"), here.asks(udp("?"))},
				here.handshake(), []step{wrong(here.request(rst(1001)), "eth1"), here.asks(data(1001, 5001, "?"))}),
		},
		{
			name: "the forward has two devices", forwards: []string{"80/udp pod:8080 --device eth0 --device eth1"}, links: onEthernet,
			steps: []step{asks(udp("?")).opening(), asks(udp("?")).on("eth1"), asks(udp("?")), wrong(request(udp("?")), "pod0")},
		},
		{
			name: "the forward has none", forwards: []string{"80/udp pod:8080"}, links: onEthernet,
			steps: []step{asks(udp("?")).opening(), asks(udp("?")).on("eth1"), asks(udp("?")).on("eth1"), asks(udp("?"))},
		},
		{
			name: "the other device filters strictly", forwards: []string{"80/udp pod:8080"}, families: onlyIPv4,
			steps: []step{strictly, asks(udp("?")).opening(), wrong(request(udp("?")), "eth1"), asks(udp("?"))},
		},
		{
			name: "the other device filters loosely", forwards: []string{"80/udp pod:8080"}, families: onlyIPv4, links: onEthernet,
			steps: []step{loosely, asks(udp("?")).opening(), asks(udp("?")).on("eth1")},
		},
		{
			name: "later fragments", forwards: []string{"80/udp pod:8080 --device eth0"},
			steps: []step{
				asks(big).opening(), toThePod.asks(big, first(7, 24)),
				wrong(request(big, last(7, 24)), "eth1"), toThePod.asks(big, last(7, 24)),
			},
		},
	})
}

// Who says to be the target must be where the target is.
func TestDevicesOfTargets(t *testing.T) {
	var cases []testCase
	for _, c := range []struct {
		name, forward string
		relayed
		elsewhere string
	}{
		{"a masqueraded client", "80/tcp+udp remote:8080 --source masquerade", toTheRemote, "eth0"},
		{"a container", "80/tcp+udp pod:8080", toThePod, "eth1"},
	} {
		wrong := func(b body, shapes ...shaping) exchange {
			return arrives(c.answer(b, shapes...)).isDropped("wrong-device").on(c.elsewhere)
		}
		cases = append(cases, testCase{
			name: "UDP of " + c.name, forwards: []string{c.forward},
			steps: []step{
				c.asks(udp("?")).opening(), wrong(udp("first")), c.answers(udp("!")), wrong(udp("then")),
				c.asks(udp("?")), wrong(udp("when established")), c.answers(udp("!")), wrong(udp("at last")),
				c.answers(big, first(9, 24)), wrong(big, last(9, 24)), c.answers(big, last(9, 24)),
			},
		}, testCase{
			name: "TCP of " + c.name, forwards: []string{c.forward},
			steps: slices.Concat([]step{c.asks(syn(1000)).opening(), wrong(synAck(7000, 1001)), wrong(segment{flags: "R.", ack: 1001}), c.answers(synAck(5000, 1001)), c.asks(ack(1001, 5001))},
				[]step{wrong(rst(5001)), c.answers(data(5001, 1001, "!")), flows{Established: 1}}),
		})
	}
	runCases(t, cases)
}

// A target that several routes lead to answers by any of them.
func TestTargetOfSeveralNextHops(t *testing.T) {
	const ways = 2
	runCases(t, []testCase{{
		name: "by each", forwards: []string{"80/udp 198.18.0.9:8080 --source preserve"}, families: onlyIPv4, links: []linkLayer{ethernet},
		steps: []step{does(func(r *run) {
			route := []string{"198.18.0.0/24", "nexthop", "via", remote.V4.String(), "nexthop", "via", pod.V4.String()}
			r.host.Run("ip", append([]string{"route", "add"}, route...)...)
			r.Cleanup(func() { r.host.Run("ip", "route", "del", "198.18.0.0/24") })
			far := addresses("198.18.0.9", "::")
			meets := func(p packet, device string, want verdict) {
				r.Helper()
				out, err := r.process(input{program: r.programs[place{ingress, ethernet}], frame: ethernet.frame(p, 4, r.mac(device)), device: device})
				if err != nil || out.verdict != want {
					r.Errorf("on %s: the verdict is %v, want %v (%v)", device, out.verdict, want, err)
				}
			}
			for port := range ways {
				from := client.at(40000 + port)
				meets(between(from, host.at(80), udp("?")), "eth0", redirected)
				meets(between(far.at(8080), from, udp("!")), "eth0", drop)
				meets(between(far.at(8080), from, udp("!")), "eth1", redirected)
				meets(between(far.at(8080), from, udp("!")), "pod0", redirected)
			}
		})},
	}})
}
