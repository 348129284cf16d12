// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"testing"
)

// quotes are how much of a packet an error may quote, in bytes behind the IP
// header: the least that RFC 792 wants, less than all and more than the
// checksum of TCP, a TCP header, and everything.
var quotes = []int{8, 18, 20, 28, 0}

// onTheWayOut is an error that reaches this host about a packet that it has sent
// to the client: the host must find its own packet in it.
func (c connection) onTheWayOut(from machine, k icmpKind, length int, b body, shapes ...shaping) exchange {
	in := between(from.itself(), c.frontend.itself(), icmpError{k, c.reply(b, shapes...), length})
	out := between(from.itself(), c.target.itself(), icmpError{k, c.answer(b, shapes...), length})
	return arrives(in).becomes(out)
}

// onTheWayIn is an error of a router behind or in this host about a packet of the
// client, who must find its own packet in it.
func (c connection) onTheWayIn(from machine, k icmpKind, length int, b body, shapes ...shaping) exchange {
	in := between(from.itself(), c.client.itself(), icmpError{k, c.forwarded(b, shapes...), length})
	out := between(from.itself(), c.client.itself(), icmpError{k, c.request(b, shapes...), length})
	return leaves(in).becomes(out)
}

// ofTheTarget is an error that the target itself sends: it seems to come from the
// frontend.
func (c connection) ofTheTarget(k icmpKind, length int, b body, shapes ...shaping) exchange {
	e := c.onTheWayIn(c.target.machine, k, length, b, shapes...)
	e.out.from = c.frontend.itself()
	return e
}

// itself is the machine of an endpoint.
func (e endpoint) itself() endpoint { return e.machine.itself() }

// errors are an error of each way, about bodies that were sent.
func (c connection) errors(k icmpKind, length int, request, reply body, shapes ...shaping) []step {
	return []step{
		c.onTheWayOut(router, k, length, reply, shapes...),
		c.onTheWayOut(c.client.machine, k, length, reply, shapes...),
		c.onTheWayIn(pod, k, length, request, shapes...),
		c.ofTheTarget(k, length, request, shapes...),
	}
}

// forwardings are flows with and without a change of addresses.
var forwardings = []struct {
	name     string
	forwards []string
	connection
}{
	{"port", []string{"80/tcp+udp 30080"}, web},
	{"address", []string{"host:80/tcp+udp second:30080"}, through(client.at(40000), host.at(80), second.at(30080))},
	{"address alone", []string{"host:80/tcp+udp second:80"}, through(client.at(40000), host.at(80), second.at(80))},
	{"virtual address", []string{"vip:80/tcp+udp 30080"}, through(client.at(40000), vip.at(80), host.at(30080))},
}

func TestErrorsAboutTCP(t *testing.T) {
	request, reply := data(1001, 5001, "a question of odd length."), data(5001, 1026, "an answer, longer")
	var cases []testCase
	for _, f := range forwardings {
		for _, k := range icmpErrors {
			c := testCase{name: k.name + ", another " + f.name, forwards: f.forwards, steps: f.handshake()}
			for _, length := range quotes {
				c.steps = append(c.steps, f.errors(k, length, request, reply)...)
			}
			// An error changes nothing about the connection.
			c.steps = append(c.steps, flows{Established: 1})
			cases = append(cases, c)
		}
	}
	runCases(t, cases)
}

func TestErrorsAboutUDP(t *testing.T) {
	request, reply := udp("a question of odd length."), udp("an answer, longer")
	uncheckedRequest, uncheckedReply := unchecked("a question"), unchecked("an answer")
	var cases []testCase
	for _, f := range forwardings {
		for _, k := range icmpErrors {
			c := testCase{name: k.name + ", another " + f.name, forwards: f.forwards, steps: []step{
				f.asks(request).opening(),
			}}
			for _, length := range []int{8, 10, 0} {
				c.steps = append(c.steps, f.errors(k, length, request, reply)...)
				c.steps = append(c.steps, f.errors(k, length, uncheckedRequest, uncheckedReply)...)
			}
			cases = append(cases, c)
		}
	}
	runCases(t, cases)
}

// What a quoted packet has beside its ports.
func TestErrorsAboutPacketsOfAnyShape(t *testing.T) {
	request, reply := udp("This datagram is large enough to be sent in fragments."), udp("And so is this one, which is the answer to it.")
	var cases []testCase
	for _, f := range forwardings {
		opened := []step{f.asks(request).opening()}
		for name, s := range map[string]struct {
			shape    shaping
			families []family
		}{
			"IPv4 options":      {withOptions, onlyIPv4},
			"extension headers": {extended(hopByHop, destinationOptions, routing), onlyIPv6},
			"a first fragment":  {first(7, 32), nil},
			"an atomic one":     {last(7, 0), nil},
		} {
			cases = append(cases, testCase{
				name:     name + ", another " + f.name,
				forwards: f.forwards,
				families: s.families,
				steps: append(append([]step{}, opened...),
					append(f.errors(tooBig, 8, request, reply, s.shape), f.errors(tooBig, 0, request, reply, s.shape)...)...),
			})
		}
	}
	runCases(t, cases)
}

// A checksum that is zero, in the quote or of the error.
func TestErrorsAboutPacketsOfZeroChecksum(t *testing.T) {
	var cases []testCase
	for _, f := range bothFamilies {
		for _, to := range forwardings {
			if to.name == "address alone" {
				continue
			}
			c := testCase{
				name:     fmt.Sprintf("%v, another %s", f, to.name),
				forwards: to.forwards,
				families: []family{f},
				steps:    []step{to.asks(udp("?")).opening()},
			}
			for _, request := range []datagram{
				udpOfZero(f, to.client, to.frontend), udpOfZero(f, to.client, to.target),
			} {
				c.steps = append(c.steps, to.onTheWayIn(pod, tooBig, 0, request), to.onTheWayIn(pod, tooBig, 8, request))
			}
			for _, reply := range []datagram{
				udpOfZero(f, to.frontend, to.client), udpOfZero(f, to.target, to.client),
			} {
				c.steps = append(c.steps, to.onTheWayOut(client, tooBig, 0, reply), to.onTheWayOut(client, tooBig, 8, reply))
			}
			cases = append(cases, c)
		}
	}
	runCases(t, cases)
}

// Whom an error is sent to is the sender's business: only who the error's quote
// says is the same gets another address with it.
func TestErrorsToOthers(t *testing.T) {
	var cases []testCase
	for _, f := range forwardings {
		reply, request := data(5001, 1001, "an answer"), data(1001, 5001, "a question")
		out, in := f.onTheWayOut(router, tooBig, 0, reply), f.onTheWayIn(pod, tooBig, 0, request)
		out.in.to, out.out.to = neighbour.itself(), neighbour.itself()
		in.in.to, in.out.to = neighbour.itself(), neighbour.itself()
		cases = append(cases, testCase{
			name:     "another " + f.name,
			forwards: f.forwards,
			steps:    append(f.handshake(), out, in),
		})
	}
	runCases(t, cases)
}

// ICMP that is nothing to us.
func TestOtherICMP(t *testing.T) {
	forwards := []string{"80/tcp+udp 30080"}
	about := func(p packet) packet { return between(router.itself(), host.itself(), portUnreachable.full(p)) }
	runCases(t, []testCase{
		{
			name:     "ping",
			forwards: forwards,
			steps: []step{
				arrives(between(client.itself(), host.itself(), echo{"ping"})).stays("icmp-unrelated"),
				leaves(between(host.itself(), client.itself(), echo{"pong"})).stays("icmp-unrelated"),
			},
		},
		{
			name:     "errors about flows that there are not",
			forwards: forwards,
			steps: []step{
				arrives(about(web.reply(ack(1, 1)))).stays("icmp-unrelated"),
				leaves(between(pod.itself(), client.itself(), portUnreachable.full(web.forwarded(ack(1, 1))))).stays("icmp-unrelated"),
				web.asks(syn(1000)).opening(),
				arrives(about(between(host.at(80), client.at(40001), ack(1, 1)))).stays("icmp-unrelated"),
				arrives(about(between(host.at(80), client.at(40000), udp("?")))).stays("icmp-unrelated"),
				arrives(about(between(second.at(80), client.at(40000), ack(1, 1)))).stays("icmp-unrelated"),
			},
		},
		{
			name:     "errors about ports that no forward has",
			forwards: forwards,
			steps: []step{
				arrives(about(between(host.at(443), client.at(40000), ack(1, 1)))).stays("no-frontend"),
				leaves(between(host.itself(), client.itself(), portUnreachable.full(between(client.at(40000), host.at(443), udp("?"))))).stays("no-frontend"),
			},
		},
		{
			name:     "errors about something else",
			forwards: forwards,
			steps: []step{
				web.asks(udp("?")).opening(),
				arrives(about(between(host.itself(), client.itself(), echo{"ping"}))).stays("icmp-unrelated"),
				arrives(about(between(host.itself(), client.itself(), opaque(47)))).stays("icmp-unrelated"),
				arrives(about(between(host.at(80), client.at(40000), big, last(7, 24)))).stays("icmp-unrelated"),
			},
		},
		{
			name:     "messages that quote and are no errors",
			forwards: forwards,
			steps: []step{
				web.asks(udp("?")).opening(),
				arrives(between(router.itself(), host.itself(), redirect.full(web.reply(udp("!"))))).stays("icmp-unrelated"),
				arrives(between(router.itself(), host.itself(), sourceQuench.full(web.reply(udp("!"))))).stays("icmp-unrelated"),
			},
		},
		{
			name:     "errors about a client that talks to the target itself",
			forwards: forwards,
			steps: []step{
				arrives(between(client.at(40000), host.at(30080), udp("?"))).stays("direct"),
				leaves(between(host.itself(), client.itself(), portUnreachable.full(between(client.at(40000), host.at(30080), udp("?"))))).stays("icmp-translated"),
				arrives(about(between(host.at(30080), client.at(40000), udp("!")))).stays("icmp-translated"),
			},
		},
	})
}

// Bytes that are behind the packet are none of the quote.
func TestErrorsWithTrailers(t *testing.T) {
	request := data(1001, 5001, "a question of odd length.")
	var cases []testCase
	for _, f := range forwardings {
		e := f.onTheWayIn(pod, tooBig, 8, request)
		trailed("\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78")(&e.in.shape)
		e.out.trailer = e.in.trailer
		cases = append(cases, testCase{
			name:     "another " + f.name,
			forwards: f.forwards,
			steps:    append(f.handshake(), e),
		})
	}
	runCases(t, cases)
}
