// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// Tags that are in the frame.
func TestTagsInTheFrame(t *testing.T) {
	var cases []testCase
	for name, tags := range map[string]shaping{
		"a priority tag":     tagged(0),
		"802.1Q":             tagged(7),
		"802.1Q in 802.1ad":  tagged(100, 7),
		"a second tag alone": tagged(0, 7),
	} {
		cases = append(cases, testCase{
			name:     name,
			forwards: []string{"80/tcp+udp 30080"},
			links:    onlyEthernet,
			steps: []step{
				web.asks(syn(1000), tags).opening(),
				web.answers(synAck(5000, 1001), tags),
				web.asks(ack(1001, 5001), tags),
				web.asks(udp("?"), tags).opening(),
				web.answers(udp("!"), tags),
				flows{Transitory: 1, Established: 1},
			},
		})
	}
	cases = append(cases, testCase{
		name:     "three tags are too many",
		forwards: []string{"80 30080"},
		links:    onlyEthernet,
		steps:    []step{arrives(web.request(syn(1000), tagged(1, 2, 3))).stays("not-ip")},
	})
	runCases(t, cases)
}

// Tags that the device has taken out of the frame, and will put into it.
func TestTagsBesideTheFrame(t *testing.T) {
	t.Parallel()
	w := *borrowWorld(t)
	untagged := w.programs
	for name, c := range map[string]struct {
		tag     int32
		becomes func(exchange) exchange
	}{
		"a priority tag is of the device":    {0, alsoTagged},
		"a priority tag may have a priority": {priority, alsoTagged},
		"a VLAN is of its own device":        {7, ofAVLAN},
		"a VLAN may have a priority":         {priority | 7, ofAVLAN},
	} {
		w.programs = make(programs)
		for place, p := range untagged {
			if place.link != ethernet {
				continue
			}
			w.programs[place] = behind(t, p, taggedBy(c.tag)...)
		}
		w.runCases(t, []testCase{{
			name:     name,
			forwards: []string{"53/udp 30053"},
			links:    []linkLayer{ethernet},
			steps: []step{
				c.becomes(dns.asks(udp("?")).opening()),
				c.becomes(dns.answers(udp("!"))),
				c.becomes(dns.answers(udp("segments of eight bytes")).merged(8, 3)),
			},
		}})
	}
}

// alsoTagged wants four bytes counted that are not in the frame.
func alsoTagged(e exchange) exchange {
	e.beside = 4
	return e
}

func ofAVLAN(e exchange) exchange { return e.stays("vlan") }

// taggedBy has the kernel tag the packet.
func taggedBy(tag int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R2, 0x0081), // 802.1Q in network order
		asm.Mov.Imm(asm.R3, tag),
		asm.FnSkbVlanPush.Call(),
	}
}

// What is no TCP or UDP over IP, nor an ICMP error, stays.
func TestOtherProtocols(t *testing.T) {
	runCases(t, []testCase{
		{
			name:     "over IP",
			forwards: []string{"80 30080"},
			steps: []step{
				arrives(between(client.itself(), host.itself(), opaque(47))).stays("not-ip"),  // GRE
				arrives(between(client.itself(), host.itself(), opaque(132))).stays("not-ip"), // SCTP
				arrives(between(client.itself(), host.itself(), opaque(59))).stays("not-ip"),  // no next header
				leaves(between(host.itself(), client.itself(), opaque(50))).stays("not-ip"),   // ESP
			},
		},
		{
			name:     "ICMP of the other family",
			forwards: []string{"80 30080"},
			families: onlyIPv4,
			steps:    []step{arrives(between(client.itself(), host.itself(), opaque(58))).stays("not-ip")},
		},
		{
			name:     "ICMPv6 of the other family",
			forwards: []string{"80 30080"},
			families: onlyIPv6,
			steps:    []step{arrives(between(client.itself(), host.itself(), opaque(1))).stays("not-ip")},
		},
		{
			name:     "over Ethernet",
			forwards: []string{"80 30080"},
			links:    onlyEthernet,
			steps: []step{does(func(r *run) {
				arp := append(linkHeader(r.mac("eth0")), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
				arp = append(arp, make([]byte, 20)...)
				r.mustPass(arp, "not-ip")
			})},
		},
		{
			name:     "over no link layer",
			forwards: []string{"80 30080"},
			links:    []linkLayer{raw},
			steps: []step{does(func(r *run) {
				r.mustPass([]byte("\x00neither IPv4 nor IPv6"), "not-ip")
			})},
		},
	})
}
