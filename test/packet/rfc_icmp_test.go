// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"
)

// Errors about a container that reaches a container by the host's frontend find
// those whom they are about (RFC 5508, REQ-7), each with a packet that it has sent.
func TestHairpinnedErrors(t *testing.T) {
	var cases []testCase
	for name, c := range map[string]relayed{
		"itself":    through(pod.at(31000), gateway.at(80), pod.at(8080)).seenAs(gateway.at(31000)).between(toPod, toPod),
		"a sibling": through(besidePod.at(31000), gateway.at(80), pod.at(8080)).seenAs(gateway.at(31000)).between(toBesidePod, toPod),
	} {
		request, reply := data(1001, 5001, "a question"), data(5001, 1011, "an answer")
		steps := slices.Concat(c.handshake(), []step{c.asks(request), c.answers(reply)})
		for _, k := range icmpErrors {
			of := func(from, to endpoint, quote packet) packet {
				return between(from.itself(), to.itself(), k.full(quote))
			}
			steps = append(steps,
				arrives(of(c.target, c.seen, c.forwarded(request))).becomes(of(c.frontend, c.client, c.request(request))).
					on(c.far.device).onward(c.near),
				arrives(of(c.client, c.frontend, c.reply(reply))).becomes(of(c.seen, c.target, c.answer(reply))).
					on(c.near.device).onward(c.far),
			)
		}
		cases = append(cases, testCase{
			name:     name,
			forwards: []string{"80 pod:8080"},
			steps:    append(steps, flows{Established: 1}),
		})
	}
	runCases(t, cases)
}

// A wrong checksum of an error stays wrong (RFC 5508, REQ-3): whoever gets it sees
// that it was changed on its way to us. A changed checksum would hide that.
func TestErrorsWithWrongChecksums(t *testing.T) {
	wrong := mangled(func(ip []byte) { ip[len(ip)-1] ^= 0x10 })
	request, reply := data(1001, 5001, "a question"), data(5001, 1011, "an answer")
	var cases []testCase
	for _, f := range forwardings {
		steps := f.handshake()
		for _, e := range []exchange{
			f.onTheWayOut(router, tooBig, 0, reply),
			f.onTheWayIn(pod, tooBig, 0, request),
			f.ofTheTarget(portUnreachable, 0, request),
		} {
			wrong(&e.in.shape)
			wrong(&e.out.shape)
			steps = append(steps, e)
		}
		cases = append(cases, testCase{name: "another " + f.name, forwards: f.forwards, steps: steps})
	}
	runCases(t, cases)
}

// Behind the quote an error may say more (RFC 4884), which passes as it is (RFC
// 5508, REQ-3d).
func TestErrorsWithExtensions(t *testing.T) {
	request, reply := udp("a question"), udp("an answer")
	var cases []testCase
	for _, f := range forwardings {
		steps := []step{f.asks(request).opening()}
		for _, e := range []exchange{
			f.onTheWayOut(router, timeExceeded, 0, reply),
			f.onTheWayIn(pod, timeExceeded, 0, request),
			f.ofTheTarget(hostUnreachable, 0, request),
		} {
			e.in.body, e.out.body = extendedError{e.in.body.(icmpError)}, extendedError{e.out.body.(icmpError)}
			steps = append(steps, e)
		}
		cases = append(cases, testCase{name: "another " + f.name, forwards: f.forwards, steps: steps})
	}
	runCases(t, cases)
}

// extendedError is an error whose quote is filled up to 128 bytes, as RFC 4884 wants
// it, before the label stack of the packet that it is about (RFC 4950).
type extendedError struct{ icmpError }

func (e extendedError) bytes(f family, from, to endpoint) []byte {
	const quoted = 128
	quote := make([]byte, quoted)
	copy(quote, e.quote.ip(f))
	extension := []byte{
		0x20, 0, 0, 0, // version 2
		0, 8, 1, 1, // an object of eight bytes: the label stack
		0x12, 0x34, 0x51, 0x40, // one label
	}
	check := ^sum(extension)
	extension[2], extension[3] = byte(check>>8), byte(check)
	k := e.icmpKind
	if f == 4 {
		k.rest |= quoted / 4 << 16
	} else {
		k.rest |= quoted / 8 << 24
	}
	return icmp(f, from, to, k, append(quote, extension...))
}
