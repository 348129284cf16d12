// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"net"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// exchange is a step: a packet that meets a program, and what comes out. All
// that the programs may count is compared, so what is not wanted must not have
// happened.
type exchange struct {
	hook    hook
	in, out packet
	verdict verdict
	// reason is what is counted for the packet; none if it is traffic of a
	// forward.
	reason string
	// opens: the packet makes a flow of a forward.
	opens bool
	// device is where it happens; eth0 if empty.
	device string
	// gsoSize is the payload of each segment of a GSO packet, gsoSegments their
	// number as far as the device has told it.
	gsoSize, gsoSegments int
	// beside is how many bytes are on the wire that are not in the frame.
	beside int
	// mac is the frame's destination, if it is not the device.
	mac net.HardwareAddr
}

// arrives is a packet that comes from outside.
func arrives(p packet) exchange { return exchange{hook: ingress, in: p, out: p, verdict: next} }

// leaves is a packet that this host sends or passes on.
func leaves(p packet) exchange { return exchange{hook: egress, in: p, out: p, verdict: next} }

// becomes wants the packet translated, and counted as traffic of a forward; an
// ICMP error as a translated one.
func (e exchange) becomes(p packet) exchange {
	e.out = p
	if _, isError := p.body.(icmpError); isError {
		e.reason = "icmp-translated"
	}
	return e
}

// as wants the packet counted for a reason and not as traffic.
func (e exchange) as(reason string) exchange {
	e.reason = reason
	return e
}

// stays wants the packet left alone, for a reason.
func (e exchange) stays(reason string) exchange {
	e.out, e.opens = e.in, false
	return e.as(reason)
}

// isDropped wants the packet dropped, for a reason.
func (e exchange) isDropped(reason string) exchange {
	e.verdict = drop
	return e.as(reason)
}

// opening wants the packet to make a flow of a forward.
func (e exchange) opening() exchange {
	e.opens = true
	return e
}

// on makes it happen at another device than eth0.
func (e exchange) on(device string) exchange {
	e.device = device
	return e
}

// merged makes it a GSO packet. Segments may be 0, as when a virtual machine has
// sent it.
func (e exchange) merged(size, segments int) exchange {
	e.gsoSize, e.gsoSegments = size, segments
	return e
}

// addressed gives the frame another destination than the device.
func (e exchange) addressed(mac net.HardwareAddr) exchange {
	e.mac = mac
	return e
}

func (e exchange) take(r *run) {
	r.Helper()
	if e.device == "" {
		e.device = "eth0"
	}
	if e.mac == nil {
		e.mac = r.mac(e.device)
	}
	in := r.link.frame(e.in.known(r.chosen), r.family, e.mac)
	before := r.counted()
	out, err := r.process(input{
		program: r.programs[place{e.hook, r.link}],
		frame:   in, device: e.device,
		gsoSize: e.gsoSize, gsoSegments: e.gsoSegments,
		checkChecksum: r.link == ethernet,
	})
	if errors.Is(err, unix.EBADMSG) {
		r.Fatalf("%v: the sum that the kernel keeps of the packet (CHECKSUM_COMPLETE) is no longer true", e.hook)
	}
	if err != nil {
		r.Fatalf("%v: %v", e.hook, err)
	}
	after := r.counted()

	if out.verdict != e.verdict {
		r.Errorf("%v: the verdict is %v (%d), want %v", e.hook, out.verdict, out.verdict, e.verdict)
	}
	r.learn(e, out.frame)
	r.compare(r.link.frame(e.out.known(r.chosen), r.family, e.mac), out.frame)
	r.verify(out.frame, e.out)
	if diff := cmp.Diff(e.counted(r), after.since(before)); diff != "" {
		r.Errorf("%v: counted (-want +got):\n%s", e.hook, diff)
	}
	r.checkPairs()
}

// counted is what the programs must count.
func (e exchange) counted(r *run) counted {
	c := counted{Reasons: make(map[string]uint64), Drops: make(map[string]uint64)}
	if e.opens {
		c.Traffic.Opened = 1
	}
	if e.verdict == drop {
		c.Drops[e.reason] = 1
	}
	if e.reason != "" {
		c.Reasons[e.reason] = 1
		return c
	}
	packets, bytes := e.onWire(r)
	if e.hook == ingress {
		c.Traffic.ForwardPackets, c.Traffic.ForwardBytes = packets, bytes
	} else {
		c.Traffic.ReversePackets, c.Traffic.ReverseBytes = packets, bytes
	}
	return c
}

// onWire is how many packets of how many bytes in all the wire carries: each
// segment of a GSO packet has all headers of its own.
func (e exchange) onWire(r *run) (packets, bytes uint64) {
	frame := len(r.link.frame(e.in.known(r.chosen), r.family, e.mac)) + e.beside
	if e.gsoSize == 0 {
		return 1, uint64(frame)
	}
	payload := e.in.payloadLength()
	segments := (payload + e.gsoSize - 1) / e.gsoSize
	return uint64(segments), uint64(payload + segments*(frame-payload))
}

// payloadLength is how much the TCP segment or UDP datagram carries.
func (p packet) payloadLength() int {
	switch b := p.body.(type) {
	case segment:
		return len(b.payload)
	case datagram:
		return len(b.payload)
	}
	return 0
}

// connection is what a client speaks to a frontend, and so to a target.
type connection struct {
	client, frontend, target endpoint
	// seen is the client as the target sees it.
	seen endpoint
}

// through is a connection whose client keeps its port.
func through(client, frontend, target endpoint) connection {
	return connection{client, frontend, target, client}
}

// seenAs is the connection of a client that the target sees otherwise.
func (c connection) seenAs(seen endpoint) connection {
	c.seen = seen
	return c
}

// asks is a packet of the client, which reaches the target.
func (c connection) asks(b body, shapes ...shaping) exchange {
	return arrives(c.request(b, shapes...)).becomes(between(c.seen, c.target, b, shapes...))
}

// answers is a packet of the target, which reaches the client.
func (c connection) answers(b body, shapes ...shaping) exchange {
	return leaves(between(c.target, c.seen, b, shapes...)).becomes(c.reply(b, shapes...))
}

// request is a packet as the client sends it, reply one as it gets it.
func (c connection) request(b body, shapes ...shaping) packet {
	return between(c.client, c.frontend, b, shapes...)
}

func (c connection) reply(b body, shapes ...shaping) packet {
	return between(c.frontend, c.client, b, shapes...)
}

// forwarded is a request as the target gets it, answer a reply as it sends it.
func (c connection) forwarded(b body, shapes ...shaping) packet {
	return between(c.seen, c.target, b, shapes...)
}

func (c connection) answer(b body, shapes ...shaping) packet {
	return between(c.target, c.seen, b, shapes...)
}

// learn finds out which port xfwd has chosen, where that is still to be seen.
func (r *run) learn(e exchange, frame []byte) {
	r.Helper()
	if r.chosen != chosen || e.out.from.port != chosen {
		return
	}
	body := frame[r.link.headerLength(e.out)+len(e.out.ipHeader(r.family)):]
	r.chosen = int(binary.BigEndian.Uint16(body))
	// RFC 4787, REQ-3: not a well-known one.
	if r.chosen == e.in.from.port || r.chosen < 1024 {
		r.Errorf("the client's port %d has become %d", e.in.from.port, r.chosen)
	}
}
