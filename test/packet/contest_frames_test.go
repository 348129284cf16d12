// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
	"github.com/xfwd/xfwd/test/model"
)

// What packets of a contest are made of: few, so that they meet.
var (
	contestSources      = []machine{client, client, client, neighbour, pod, besidePod, remote, besideRemote, host, loopback, linkLocal, everybody, broadcast, classE, unspecified, thisNetwork, broadcasts}
	contestDestinations = []machine{host, host, host, host, second, second, gateway, vip, remote, pod, neighbour, besideRemote, loopback, broadcasts, nowhere, service, anycast, everybody, limited}
	contestClientPorts  = []int{40000, 40000, 40001, 31000, 12000, 8080, 30080, 80, 700, 300, 0}
	contestServerPorts  = []int{80, 80, 80, 81, 53, 8080, 30080, 30081, 9000, 9002, 9003, 10007, 7}

	contestOptions = [][]layers.TCPOption{
		{maximumSegment}, {mss(9000)}, {mss(500)}, {nothing, mss(65535)}, {timestamp, nothing, mss(1461)}, {sackPermitted, maximumSegment, timestamp},
		{timestamp, timestamp, timestamp, nothing, sackPermitted, nothing, sackPermitted, mss(1500)},
		{endOfOptions, sackPermitted, nothing, mss(9000)}, {{OptionType: layers.TCPOptionKindMSS, OptionData: []byte{5}}, maximumSegment},
	}

	broadcasts  = addresses("192.0.2.255", "2001:db8:2::1")
	broadcasts4 = addresses("203.0.113.255", "ff02::3")
	limited     = addresses("255.255.255.255", "ff02::2")
)

// frame makes one, of a flow or of none.
func (c *contest) frame() sending {
	s := sending{hook: ingress, link: one(c.dice, ethernet, ethernet, raw, driver, driver)}
	f := one(c.dice, bothFamilies...)
	s.Device = one(c.dice, "eth0", "eth0", "eth0", "eth1", "pod0")
	var p packet
	flows := c.model.Flows()
	switch roll := c.dice.roll(100); {
	case len(flows) == 0 || roll < 25:
		p = between(one(c.dice, contestSources...).at(one(c.dice, contestClientPorts...)),
			one(c.dice, contestDestinations...).at(one(c.dice, contestServerPorts...)), c.body(nil, 0))
		if c.dice.roll(12) == 0 {
			s.hook = egress
		}
	case roll < 90:
		p, f = c.ofFlow(one(c.dice, flows...), &s)
	default:
		p, f = c.aboutFlow(one(c.dice, flows...), &s)
	}
	c.shape(&p, f, &s)
	if s.link == driver && (s.Device == "pod0" || !c.xdp) {
		s.link = ethernet
	}
	s.Raw = s.link == raw
	to := c.mac(s.Device)
	if c.dice.roll(60) == 0 && s.hook == ingress && !s.Raw {
		to, s.Others = net.HardwareAddr{2, 0, 0, 0, 0, 9}, true
	}
	s.Frame = s.link.frame(p, f, to)
	c.mangle(&s)
	return s
}

// endpointOf is an address and a port of a tuple.
func endpointOf(a netip.AddrPort) endpoint {
	return endpoint{machine{lab.Addresses{V4: a.Addr(), V6: a.Addr()}}, int(a.Port())}
}

func familyOf(t model.Tuple) family {
	if t.Source.Addr().Is4() {
		return 4
	}
	return 6
}

// ofFlow is a packet of a flow, of either direction, and where it comes.
func (c *contest) ofFlow(flow *model.Flow, s *sending) (packet, family) {
	t := flow.Client
	reverse := c.dice.roll(2) == 0
	if reverse {
		t = flow.Target.Reversed()
		c.comesFrom(flow, s)
	} else if (flow.Elsewhere || flow.Forward == nil) && c.dice.roll(8) == 0 {
		// Somebody else's, from the same address and port to the same target, or what a
		// direct client's has become.
		t, s.hook = flow.Target, egress
	}
	p := between(endpointOf(t.Source), endpointOf(t.Destination), nil)
	if t.Protocol == protocolUDP {
		p.body = c.datagram()
	} else {
		p.body = c.segment(flow, reverse)
	}
	return p, familyOf(t)
}

// comesFrom is where a target's packets come: from its device, or on their way
// out.
func (c *contest) comesFrom(flow *model.Flow, s *sending) {
	if !flow.Elsewhere {
		s.hook = egress
		return
	}
	if r := c.model.Host.Route(model.Question{Tuple: flow.Target}); r.Device != "" {
		s.Device = r.Device
	}
}

func (c *contest) body(flow *model.Flow, protocol uint8) body {
	switch {
	case protocol == protocolUDP, protocol == 0 && c.dice.roll(2) == 0:
		return c.datagram()
	case c.dice.roll(40) == 0:
		return opaque(one(c.dice, 1, 47, 58, 59, 132))
	case c.dice.roll(40) == 0:
		return echo{"ping"}
	}
	return c.segment(flow, false)
}

var contestPayloads = []string{"", "?", "odd", "a question of even length.", strings.Repeat("0123456789", 20)}

func (c *contest) datagram() body {
	return datagram{payload: one(c.dice, contestPayloads...), unchecked: c.dice.roll(4) == 0}
}

// segment is one that fits into the connection, mostly.
func (c *contest) segment(flow *model.Flow, reverse bool) body {
	seg := segment{
		flags: one(c.dice, "S", "S", "S.", ".", ".", ".", "P.", "P.", "F.", "R", "R.", "FP.", ""),
		seq:   one(c.dice, uint32(1000), 5000, 0xffffffff), payload: one(c.dice, contestPayloads...),
	}
	if flow != nil && flow.Established && c.dice.roll(2) == 0 {
		seg.flags = one(c.dice, ".", "P.")
	}
	if strings.Contains(seg.flags, "S") && c.dice.roll(4) > 0 {
		seg.payload = ""
	}
	if flow == nil {
		if strings.Contains(seg.flags, ".") {
			seg.ack = one(c.dice, uint32(1), 5001, 0)
		}
	} else {
		c.number(&seg, flow, reverse)
	}
	if c.dice.roll(2) == 0 && strings.Contains(seg.flags, "S") || c.dice.roll(8) == 0 {
		seg.options = one(c.dice, contestOptions...)
	}
	return seg
}

// number gives a segment of a connection its numbers: those that come next, mostly, and
// those of somebody who guesses.
func (c *contest) number(seg *segment, flow *model.Flow, reverse bool) {
	own, other := flow.Said(reverse), flow.Said(!reverse)
	if own.HasNext && c.dice.roll(8) > 0 {
		seg.seq = own.Next + one(c.dice, uint32(0), 0, 0, 0, 0, 0, 0, 3, 0xffffffff, 0xffff0000, 1000, 1<<24, 1<<24+1, 0xff000000, 0xfeffffff, 1<<31)
	}
	if other.HasAcknowledged && c.dice.roll(8) == 0 {
		seg.seq = other.Acknowledged
	}
	if !strings.Contains(seg.flags, ".") {
		return
	}
	seg.ack = one(c.dice, uint32(1), 5001, 0)
	switch {
	case other.HasNext && c.dice.roll(8) > 0:
		seg.ack = other.Next - one(c.dice, uint32(0), 0, 0, 0, 0, 0, 10, 1<<20, 1<<20+1, 0xffffffff, 1<<24, 1<<24+1)
	case own.HasAcknowledged && c.dice.roll(2) == 0:
		seg.ack = own.Acknowledged + one(c.dice, uint32(0), 1, 1<<24, 1<<24+1, 0xff000000, 0xfeffffff)
	}
}

// quotedSegment is one that may be on its way, mostly.
func (c *contest) quotedSegment(flow *model.Flow, reverse bool) segment {
	seg := c.segment(flow, reverse).(segment)
	if sent := flow.Said(reverse); sent.HasNext && c.dice.roll(4) > 0 {
		seg.seq = sent.Next - one(c.dice, uint32(0), 0, 1, 10, 1<<16, 1<<16+1, 1<<20, 0xffffffff)
	}
	return seg
}

// aboutFlow is an ICMP error about a packet of a flow, from whoever may send it.
func (c *contest) aboutFlow(flow *model.Flow, s *sending) (packet, family) {
	// What went to the target, as it was then, or what went to the client.
	quoted := flow.Target
	back := c.dice.roll(2) == 0
	if back {
		quoted = flow.Client.Reversed()
	} else {
		c.comesFrom(flow, s)
	}
	quote := between(endpointOf(quoted.Source), endpointOf(quoted.Destination), c.datagram())
	if quoted.Protocol != protocolUDP {
		quote.body = c.quotedSegment(flow, back)
	}
	f := familyOf(quoted)
	if f == 4 && c.dice.roll(6) == 0 {
		quote.shape.options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}}
	}
	length := one(c.dice, 0, 8, 9, 10, 17, 18, 20)
	if length > len(quote.body.bytes(f, quote.from, quote.to)) {
		length = 0
	}
	from := one(c.dice, endpointOf(quoted.Destination), endpointOf(quoted.Destination), router.itself(), besideRemote.itself())
	to := endpointOf(quoted.Source)
	if c.dice.roll(20) == 0 {
		to = host.itself()
	}
	kind := one(c.dice, hostUnreachable, portUnreachable, tooBig, timeExceeded, parameterProblem, redirect)
	return between(from, to, icmpError{kind, quote, length}), f
}

// shape gives a packet what its headers may have beside what it says.
func (c *contest) shape(p *packet, f family, s *sending) {
	_, isError := p.body.(icmpError)
	if c.dice.roll(10) == 0 {
		p.shape.hops = one(c.dice, 1, 2, 255)
	}
	if c.dice.roll(12) == 0 && s.link != raw {
		p.shape.tags = one(c.dice, []uint16{0}, []uint16{7}, []uint16{100, 7}, []uint16{1, 2, 3})
	}
	if c.dice.roll(12) == 0 {
		p.shape.trailer = "\x00\x00\x00"
	}
	if c.dice.roll(12) == 0 && f == 4 {
		one(c.dice, withOptions, sourceRouted(looseRoute), sourceRouted(strictRoute))(&p.shape)
	}
	if c.dice.roll(12) == 0 && f == 6 {
		p.shape.extensions = one(c.dice, []extension{hopByHop}, []extension{destinationOptions, routing}, []extension{unfinishedRouting},
			slices.Repeat([]extension{destinationOptions}, 7))
	}
	length := len(p.body.bytes(f, p.from, p.to))
	switch roll := c.dice.roll(100); {
	case roll < 6 && !isError && length > 8:
		// A piece of a datagram: there are few ids, so that pieces meet.
		id := uint16(c.dice.roll(3))
		cut := 8 * (1 + c.dice.roll((length-1)/8))
		one(c.dice, first(id, cut), last(id, cut), last(id, 0))(&p.shape)
	case roll < 9 && s.link != raw:
		if seg, ok := p.body.(segment); ok && seg.flags == "P." {
			seg.payload = strings.Repeat("0123456789", one(c.dice, 30, 250))
			p.body = seg
			s.SegmentSize = one(c.dice, 100, 1000, 1450)
			if c.dice.roll(2) == 0 {
				s.Segments = (len(seg.payload) + s.SegmentSize - 1) / s.SegmentSize
			}
		}
	case roll < 12:
		switch b := p.body.(type) {
		case datagram:
			b.payload = strings.Repeat("0123456789", one(c.dice, 137, 138, 148))
			p.body = b
		case segment:
			b.payload = strings.Repeat("0123456789", one(c.dice, 134, 140, 146))
			p.body = b
		}
		if end := (len(p.body.bytes(f, p.from, p.to)) - 1) / 8 * 8; !isError && end > 8 && c.dice.roll(2) == 0 {
			id := uint16(c.dice.roll(3))
			one(c.dice, first(id, end), last(id, 8), last(id, 0))(&p.shape)
		}
	}
}

// mangle breaks a frame now and then: it cuts it off, adds to it, or changes bits
// of it.
func (c *contest) mangle(s *sending) {
	const shortest = 14 // a test run takes no less
	link := 0
	if !s.Raw {
		link = shortest
	}
	switch roll := c.dice.roll(100); {
	case roll < 4:
		s.Frame = s.Frame[:shortest+c.dice.roll(max(1, len(s.Frame)-shortest))]
	case roll < 12 && len(s.Frame) > link:
		for range 1 + c.dice.roll(2) {
			// Headers say more than what they carry.
			at := link + c.dice.roll(min(len(s.Frame)-link, 80))
			s.Frame[at] ^= byte(1 << c.dice.roll(8))
		}
	case roll < 13 && len(s.Frame) > link+6:
		// No length, of IPv4 or of IPv6.
		at := link + one(c.dice, 2, 4)
		s.Frame[at], s.Frame[at+1] = 0, 0
	case roll < 15 && len(s.Frame) > link:
		s.Frame[link+c.dice.roll(min(len(s.Frame)-link, 80))] = one(c.dice, byte(0), 0xff)
	}
}
