// SPDX-License-Identifier: Apache-2.0

package packet

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
