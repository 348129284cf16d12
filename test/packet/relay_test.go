// SPDX-License-Identifier: Apache-2.0

package packet

// Ports of masqueraded flows, where the client's own cannot be kept.
const (
	masqueradeFirst = 10000
	masqueradeLast  = 29999
)

// relayed is a connection whose target is not the host: the packets of both
// directions arrive, and leave again.
type relayed struct {
	connection
	near, far *exit // to the client, and to the target
}

// between has the packets of a connection leave by these ways.
func (c connection) between(near, far *exit) relayed { return relayed{c, near, far} }

// seenAs is the connection of a client that the target sees otherwise.
func (c relayed) seenAs(seen endpoint) relayed {
	c.seen = seen
	return c
}

// asks is a packet of the client, which is sent on to the target.
func (c relayed) asks(b body, shapes ...shaping) exchange {
	return c.connection.asks(b, shapes...).on(c.near.device).onward(c.far)
}

// answers is a packet of the target, which is sent on to the client.
func (c relayed) answers(b body, shapes ...shaping) exchange {
	e := arrives(c.answer(b, shapes...)).becomes(c.reply(b, shapes...))
	e.reverse = true
	return e.on(c.far.device).onward(c.near)
}

// handshake opens a connection: the client's next sequence number is 1001, the
// server's 5001.
func (c relayed) handshake() []step {
	return []step{
		c.asks(syn(1000)).opening(),
		c.answers(synAck(5000, 1001)),
		c.asks(ack(1001, 5001)),
	}
}

// goodbye closes a connection that has only been opened, the client first.
func (c relayed) goodbye() []step {
	return []step{
		c.asks(fin(1001, 5001)),
		c.answers(fin(5001, 1002)),
		c.asks(ack(1002, 5002)),
	}
}

// onTheWayOut is an error about a packet that was sent on to the client: the
// target must find its own packet in it. What the client itself sends seems to
// come from who the target takes for it.
func (c relayed) onTheWayOut(from machine, k icmpKind, length int, b body, shapes ...shaping) exchange {
	e := c.connection.onTheWayOut(from, k, length, b, shapes...).on(c.near.device).onward(c.far)
	if from == c.client.machine {
		e.out.from = c.seen.itself()
	}
	return e
}

// onTheWayIn is an error about a packet that was sent on to the target: the client
// must find its own packet in it.
func (c relayed) onTheWayIn(from machine, k icmpKind, length int, b body, shapes ...shaping) exchange {
	in := between(from.itself(), c.seen.itself(), icmpError{k, c.forwarded(b, shapes...), length})
	out := between(from.itself(), c.client.itself(), icmpError{k, c.request(b, shapes...), length})
	return arrives(in).becomes(out).on(c.far.device).onward(c.near)
}

// ofTheTarget is an error that the target itself sends: it seems to come from the
// frontend.
func (c relayed) ofTheTarget(k icmpKind, length int, b body, shapes ...shaping) exchange {
	e := c.onTheWayIn(c.target.machine, k, length, b, shapes...)
	e.out.from = c.frontend.itself()
	return e
}

// errors are an error of each way, about bodies that were sent.
func (c relayed) errors(k icmpKind, length int, request, reply body) []step {
	return []step{
		c.onTheWayOut(router, k, length, reply),
		c.onTheWayOut(c.client.machine, k, length, reply),
		c.onTheWayIn(besideRemote, k, length, request),
		c.ofTheTarget(k, length, request),
	}
}
