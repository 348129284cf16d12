// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"testing"
)

// Headers that contradict themselves, or each other. The transport header of an
// IPv4 packet begins at byte 20, that of an IPv6 packet at byte 40.
func TestContradictions(t *testing.T) {
	const ipv4, ipv6 = 20, 40
	octet := func(at int, value byte) shaping { return mangled(func(ip []byte) { ip[at] = value }) }
	length := func(at int, value uint16) shaping {
		return mangled(func(ip []byte) { binary.BigEndian.PutUint16(ip[at:], value) })
	}
	request := data(1001, 5001, "hello")
	quoting := func(length int, shapes ...shaping) packet {
		return between(router.itself(), host.itself(), tooBig.cut(length, web.reply(request)), shapes...)
	}
	var cases []testCase
	for _, c := range []struct {
		name   string
		family family
		packet
		// hides: the packet is the host's and may be for the frontend, as far as can be read.
		hides bool
	}{
		{"an IPv4 header of no length", 4, web.request(request, octet(0, 0x40)), false},
		{"an IPv4 header of 16 bytes", 4, web.request(request, octet(0, 0x44)), false},
		{"an IPv4 header longer than the packet", 4, web.request(request, octet(0, 0x4f)), false},
		{"an IPv4 packet shorter than its header", 4, web.request(request, length(2, 19)), false},
		{"an IPv4 packet longer than the frame", 4, web.request(request, length(2, 46)), false},
		{"an IPv4 packet that ends within TCP", 4, web.request(request, length(2, 39)), true},
		{"an IPv4 packet that ends within UDP", 4, web.request(udp("hello"), length(2, 27)), true},
		{"an IPv6 packet longer than the frame", 6, web.request(request, length(4, 26)), true},
		{"an IPv6 packet that ends within TCP", 6, web.request(request, length(4, 19)), true},
		{"an IPv6 packet that ends within UDP", 6, web.request(udp("hello"), length(4, 7)), true},
		{"a TCP header of 16 bytes in IPv4", 4, web.request(request, octet(ipv4+12, 0x40)), true},
		{"a TCP header of 16 bytes in IPv6", 6, web.request(request, octet(ipv6+12, 0x40)), true},
		{"a TCP header longer than IPv4", 4, web.request(request, octet(ipv4+12, 0x70)), true},
		{"a TCP header longer than IPv6", 6, web.request(request, octet(ipv6+12, 0x70)), true},
		{"an extension header longer than IPv6", 6, web.request(request, extended(destinationOptions), octet(ipv6+1, 9)), true},
		{"an error that quotes half an IPv4 header", 4, quoting(-10), false},
		{"an error that quotes half an IPv6 header", 6, quoting(-20), false},
		{"an error that quotes half a port in IPv4", 4, quoting(3), false},
		{"an error that quotes half a port in IPv6", 6, quoting(3), false},
		{"an error that quotes an IPv4 header of no length", 4, quoting(8, octet(ipv4+8, 0x40)), false},
		{"an error that quotes version 6 in IPv4", 4, quoting(8, octet(ipv4+8, 0x65)), false},
		{"an error that quotes version 4 in IPv6", 6, quoting(8, octet(ipv6+8, 0x45)), false},
		{"an error that ends before its quote in IPv4", 4, quoting(8, length(2, ipv4+7)), false},
		{"an error that ends before its quote in IPv6", 6, quoting(8, length(4, 7)), false},
	} {
		cases = append(cases, testCase{
			name:     c.name,
			forwards: []string{"80/tcp+udp 30080"},
			families: []family{c.family},
			steps: []step{does(func(r *run) {
				frame := r.link.frame(c.packet, r.family, r.mac("eth0"))
				if !c.hides {
					r.mustPass(frame, "malformed")
					return
				}
				if r.link == driver {
					r.mustEnd(early, frame, pass, leftToTC)
				}
				r.mustEnd(ingress, frame, drop, "unreadable")
				r.mustEnd(egress, frame, next, "malformed")
			})},
		})
	}
	for name, f := range map[string]family{"version 6 in a frame of IPv4": 4, "version 4 in a frame of IPv6": 6} {
		cases = append(cases, testCase{
			name:     name,
			forwards: []string{"80/tcp+udp 30080"},
			families: []family{f},
			links:    onlyEthernet,
			steps: []step{does(func(r *run) {
				p := web.request(request, mangled(func(ip []byte) { ip[0] ^= 0x20 }))
				r.mustPass(r.link.frame(p, r.family, r.mac("eth0")), "malformed")
			})},
		})
	}
	runCases(t, cases)
}
