// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/gopacket/gopacket/layers"
)

// conversation is an established flow, and the packets that a client and a
// target exchange on it, as they arrive at the host.
type conversation struct {
	*programBench
	way            programWay
	device         string // where the replies arrive
	request, reply packet
}

// converse establishes the flow of a client: over TCP by a handshake, over UDP by
// a question, an answer and another question. It is tc that makes flows, also
// those that XDP serves then.
func (b *programBench) converse(way programWay, protocol string, client netip.AddrPort) *conversation {
	frontend, backend, device := b.ends(way)
	c := &conversation{
		programBench: b, way: way, device: device,
		request: packet{mac: b.host.MAC("front"), from: client, to: frontend, payload: 64},
		reply:   packet{mac: b.host.MAC(device), from: backend, payload: 64},
	}
	opening, answer := c.request.with(segment(1000, 0, "S")), c.reply.with(segment(5000, 1001, "SA"))
	c.request = c.request.with(segment(1001, 5001, "PA"))
	c.reply = c.reply.with(segment(5001, 1001, "PA"))
	if protocol == "udp" {
		c.request, c.reply = c.request.with(&layers.UDP{}), c.reply.with(&layers.UDP{})
		opening, answer = c.request, c.reply
	}
	c.asks(opening)
	seen := c.seenAs(protocol, client)
	c.reply.to, answer.to = seen, seen
	c.answers(answer)
	c.asks(c.request)
	return c
}

// asks has a packet of the client arrive, answers one of the target.
func (c *conversation) asks(p packet)    { c.arrive(p, "front", toElsewhere.request) }
func (c *conversation) answers(p packet) { c.arrive(p, c.device, c.tc().reply) }

// tc is the way that the flow's first packets took.
func (c *conversation) tc() programWay {
	if c.way.elsewhere {
		return toElsewhere
	}
	return toHost
}

// arrive has a program serve a packet once.
func (c *conversation) arrive(p packet, device, pin string) {
	verdicts := c.tc().verdicts()
	c.time(testRun{c.pinned(pin), p.frame(c.tb), c.host.Index(device)}, 1, verdicts...)
}

// continues has a packet of each direction pass by tc, which knows the way out
// for some seconds then.
func (c *conversation) continues() {
	c.asks(c.request)
	c.answers(c.reply)
}

// seenAs is what the target takes for the client.
func (c *conversation) seenAs(protocol string, client netip.AddrPort) netip.AddrPort {
	for _, f := range c.xfwd.Flows() {
		if f.Frontend.Protocol != protocol || f.Frontend.Port != c.way.port ||
			f.Client.Address != client.Addr().String() || f.Client.Port != client.Port() {
			continue
		}
		seen, err := netip.ParseAddr(f.Source.Address)
		if err != nil {
			c.tb.Fatalf("xfwd flows: %v", err)
		}
		return netip.AddrPortFrom(seen, f.Source.Port)
	}
	c.tb.Fatalf("%s: %v has no flow", c.way.title, client)
	return netip.AddrPort{}
}
