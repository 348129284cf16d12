// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// exchange is a step: a packet that meets a program, and what comes out. All
// that the programs may count is compared, so what is not wanted must not have
// happened.
type exchange struct {
	hook    hook
	in, out packet
	verdict verdict
	// reverse: it goes towards the client.
	reverse bool
	// exit is where it leaves the host again, if it does.
	exit *exit
	// asked says whether the kernel must be asked for the next hop, if that is to
	// be known; fresh becomes true if not.
	asked *bool
	fresh bool
	// receivedAt is the link-layer address for whose frames the next hop is known.
	receivedAt [6]byte
	// wasEstablished says whether the flow was before the packet came.
	wasEstablished bool
	// reason is what is counted for the packet; none if it is traffic of a
	// forward.
	reason string
	// isDrop: the reason is ascribed to the forward, too.
	isDrop bool
	// answered: what comes out goes back to where the packet came from.
	answered bool
	// ignored: the packet is not counted.
	ignored bool
	// fragmented: what comes out is the last of its fragments.
	fragmented bool
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
func leaves(p packet) exchange {
	return exchange{hook: egress, in: p, out: p, verdict: next, reverse: true}
}

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

// isIgnored wants the packet left alone, and nothing counted.
func (e exchange) isIgnored() exchange {
	e.ignored = true
	return e.stays("")
}

// isDropped wants the packet dropped, for a reason.
func (e exchange) isDropped(reason string) exchange {
	e.verdict, e.isDrop = drop, true
	return e.as(reason)
}

// ofNobody wants what is dropped ascribed to no forward.
func (e exchange) ofNobody() exchange {
	e.isDrop = false
	return e
}

// isAnswered wants another packet sent back in its place, for a reason.
func (e exchange) isAnswered(reason string, b body) exchange {
	e.verdict, e.isDrop, e.answered = redirected, true, true
	e.out = between(e.in.to, e.in.from, b)
	e.out.tags, e.out.answer = e.in.tags, new(answerHeader)
	return e.as(reason)
}

// opening wants the packet to make a flow of a forward.
func (e exchange) opening() exchange {
	e.opens = true
	return e
}

// at makes it happen at another hook.
func (e exchange) at(h hook) exchange {
	e.hook = h
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
	if e.exit != nil {
		e.recall(r)
	}
	if r.link == driver && e.hook == ingress && e.gsoSize == 0 && e.meetXDP(r) {
		r.last = &met{e, early}
		return
	}
	r.last = &met{e, e.hook}
	before := r.counted()
	out := e.process(r, e.hook)
	after := r.counted()
	if out.verdict != e.verdict {
		r.Errorf("%v: the verdict is %v (%d), want %v", e.hook, out.verdict.of(e.hook), out.verdict, e.verdict.of(e.hook))
	}
	if r.link == raw && e.exit != nil && e.exit.way != bpf.XfwdNextHopWayWAY_DEVICE {
		out.frame = r.withoutRoom(out.frame)
	}
	e.check(r, out.frame, after.since(before))
}

// withoutRoom wants a packet to have got room for the link-layer header that the kernel
// puts before it, and takes that away.
func (r *run) withoutRoom(frame []byte) []byte {
	r.Helper()
	packet, found := bytes.CutPrefix(frame, make([]byte, 14))
	if !found {
		r.Errorf("there is no room for a link-layer header: % x", frame)
	}
	return packet
}

// process runs the program of a hook on the packet.
func (e exchange) process(r *run, h hook) output {
	r.Helper()
	out, err := r.process(input{
		hook:    h,
		program: r.programs[place{h, r.link}],
		frame:   e.frame(r), device: e.device,
		gsoSize: e.gsoSize, gsoSegments: e.gsoSegments,
		// The kernel would check it of a packet that xfwd itself has made, too,
		// which has no such sum any more.
		checkChecksum: r.link == ethernet && !e.answered && !e.fragmented,
	})
	if errors.Is(err, unix.EBADMSG) {
		r.Fatalf("%v: the sum that the kernel keeps of the packet (CHECKSUM_COMPLETE) is no longer true", h)
	}
	if err != nil {
		r.Fatalf("%v: %v", h, err)
	}
	return out
}

// frame is what meets the program.
func (e exchange) frame(r *run) []byte {
	return r.link.frame(e.in.known(r.chosen), r.family, e.mac)
}

// check compares what came out, and what was counted.
func (e exchange) check(r *run, frame []byte, got counted) {
	r.Helper()
	r.learn(e, frame)
	if e.answered {
		e.out.answer.learn(frame[r.link.headerLength(e.out):], r.family)
	}
	r.compare(e.wanted(r), frame)
	r.verify(frame, e.out)
	if diff := cmp.Diff(e.counted(r), got); diff != "" {
		r.Errorf("%v: counted (-want +got):\n%s", e.hook, diff)
	}
	r.checkPairs()
	r.checkEntries()
	if e.exit != nil {
		e.checkHop(r)
	}
}

// wanted is the frame that must come out.
func (e exchange) wanted(r *run) []byte {
	destination, source := e.mac, somebody
	if e.answered {
		destination, source = source, destination
	}
	if e.exit != nil && e.exit.isWritten(e.fresh) {
		destination, source = e.exit.next.mac(), r.mac(e.exit.device)
	}
	return r.link.frameBetween(e.out.known(r.chosen), r.family, destination, source)
}

// counted is what the programs must count.
func (e exchange) counted(r *run) counted {
	c := counted{Reasons: make(map[string]uint64), Drops: make(map[string]uint64)}
	if e.opens {
		c.Traffic.Opened = 1
	}
	if e.ignored {
		return c
	}
	if e.isDrop {
		c.Drops[e.reason] = 1
	}
	if e.reason != "" {
		c.Reasons[e.reason] = 1
		return c
	}
	packets, bytes := e.onWire(r)
	if !e.reverse {
		c.Traffic.ForwardPackets, c.Traffic.ForwardBytes = packets, bytes
	} else {
		c.Traffic.ReversePackets, c.Traffic.ReverseBytes = packets, bytes
	}
	return c
}

// onWire is how many packets of how many bytes in all the wire carries: each
// segment of a GSO packet has all headers of its own.
func (e exchange) onWire(r *run) (packets, bytes uint64) {
	frame := len(e.frame(r)) + e.beside
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

// learn finds out which port xfwd has chosen, where that is still to be seen.
func (r *run) learn(e exchange, frame []byte) {
	r.Helper()
	if r.chosen != chosen || e.out.from.port != chosen {
		return
	}
	body := frame[r.link.headerLength(e.out)+len(e.out.ipHeader(r.family)):]
	r.chosen = int(binary.BigEndian.Uint16(body))
	first, last := 1024, 65535
	switch {
	case e.in.from.port < 512: // RFC 4787, REQ-3: below 1024 stays there, and above above
		first, last = 1, 511
	case e.in.from.port < 1024:
		first, last = 600, 1023
	case e.out.from.Addresses != e.in.from.Addresses:
		first, last = masqueradeFirst, masqueradeLast
	}
	if r.chosen == e.in.from.port || r.chosen < first || r.chosen > last {
		r.Errorf("the client's port %d has become %d", e.in.from.port, r.chosen)
	}
}
