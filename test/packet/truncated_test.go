// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// specimens are packets with every header that the parser knows. The flow that
// they are of is there.
var specimens = []struct {
	name     string
	hook     hook
	families []family
	links    []linkLayer
	packet
}{
	{name: "TCP", packet: web.request(data(1, 1, "hello").with(timestamp))},
	{name: "UDP", packet: web.request(udp("hello"))},
	{name: "IPv4 options", families: onlyIPv4, packet: web.request(udp("hello"), withOptions)},
	{name: "extension headers", families: onlyIPv6, packet: web.request(udp("hello"), extended(hopByHop, longOptions, routing))},
	{name: "a fragment", packet: web.request(big, first(7, 24))},
	{name: "tags", links: onlyEthernet, packet: web.request(udp("hello"), tagged(0, 7))},
	{name: "a reply", hook: egress, packet: web.answer(data(1, 1, "hello"))},
	{name: "an error about a reply", packet: between(router.itself(), host.itself(), tooBig.full(web.reply(udp("hello"))))},
	{name: "an error about a request", hook: egress, packet: between(pod.itself(), client.itself(), tooBig.full(web.forwarded(udp("hello"))))},
	{
		name: "an error about extension headers", families: onlyIPv6,
		packet: between(router.itself(), host.itself(), tooBig.full(web.reply(udp("hello"), extended(hopByHop, routing))), extended(hopByHop)),
	},
}

// forSpecimens runs a check on all specimens.
func forSpecimens(t *testing.T, check func(r *run, h hook, p packet)) {
	t.Helper()
	var cases []testCase
	for _, s := range specimens {
		cases = append(cases, testCase{
			name:     s.name,
			forwards: []string{"80/tcp+udp 30080"},
			families: s.families,
			links:    s.links,
			steps: append(web.handshake(),
				web.asks(udp("?")).opening(),
				does(func(r *run) { check(r, s.hook, s.packet) }),
			),
		})
	}
	runCases(t, cases)
}

// A frame that ends before the packet does is nobody's, wherever it ends, or dropped.
func TestFramesCutOff(t *testing.T) {
	forSpecimens(t, func(r *run, h hook, p packet) {
		whole := r.link.frame(p, r.family, r.mac("eth0"))
		for length := range whole {
			r.mustSurvive(h, whole[:length], true)
		}
		if out := r.mustSurvive(h, whole, false); string(out) == string(whole) {
			r.Error("the whole packet is not translated: the test does not test what it says")
		}
	})
}

// A packet that is cut off, and says so, is left alone as long as it lacks a part
// of a header, or dropped.
func TestPacketsCutOff(t *testing.T) {
	forSpecimens(t, func(r *run, h hook, p packet) {
		whole := r.link.frame(p, r.family, r.mac("eth0"))
		ip := r.link.headerLength(p)
		headers := ip + p.headersLength(r.family)
		for length := ip + len(p.ipHeader(r.family)); length < len(whole); length++ {
			frame := append([]byte(nil), whole[:length]...)
			if r.family == 4 {
				binary.BigEndian.PutUint16(frame[ip+2:], uint16(length-ip))
			} else {
				binary.BigEndian.PutUint16(frame[ip+4:], uint16(length-ip-40))
			}
			r.mustSurvive(h, frame, length < headers)
		}
	})
}

// headersLength is how much of a packet must be there for it to be of a flow.
func (p packet) headersLength(f family) int {
	length := len(p.ipHeader(f))
	switch b := p.body.(type) {
	case segment:
		length += len(b.bytes(f, p.from, p.to)) - len(b.payload)
	case datagram:
		length += 8
	case icmpError:
		length += 8 + len(b.quote.ipHeader(f)) + 4
	}
	return length
}

// Whatever a packet consists of, the programs come to an end, and let the stack
// judge or drop it.
func TestGarbage(t *testing.T) {
	forSpecimens(t, func(r *run, h hook, p packet) {
		source := rand.New(rand.NewPCG(3, uint64(r.family)))
		whole := r.link.frame(p, r.family, r.mac("eth0"))
		ip := r.link.headerLength(p)
		for range 500 {
			frame := append([]byte(nil), whole...)
			for range 1 + source.IntN(4) {
				frame[ip+source.IntN(len(frame)-ip)] = byte(source.Uint32())
			}
			r.mustSurvive(h, frame, false)
		}
	})
}

// mustSurvive runs a program on a frame, which it must pass on or, if it arrives, may drop; and
// unchanged if so wanted. It returns what comes out, or nothing if the kernel refuses to run
// programs on so short a frame.
func (r *run) mustSurvive(h hook, frame []byte, unchanged bool) []byte {
	r.Helper()
	out, err := r.process(input{program: r.programs[place{h, r.link}], frame: frame, device: "eth0"})
	if errors.Is(err, unix.EINVAL) && len(frame) < 14+40 {
		return nil
	}
	if err != nil {
		r.Fatalf("%d bytes: %v", len(frame), err)
	}
	if out.verdict != next && !(h == ingress && out.verdict == drop) {
		r.Errorf("%d bytes: the verdict is %v", len(frame), out.verdict)
	}
	if unchanged && string(out.frame) != string(frame) {
		r.Errorf("%d bytes have changed:\n% x\n% x", len(frame), frame, out.frame)
	}
	return out.frame
}
