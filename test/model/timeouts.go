// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// Timeouts are those of config.h.
type Timeouts struct {
	// TCPEstablished and TCPTransitory are how long TCP may be silent, UDPAnswered
	// and UDPOneWay how long UDP may.
	TCPEstablished, TCPTransitory, UDPAnswered, UDPOneWay time.Duration
	// UDPBrief is how long UDP to a well-known port may, before the client goes on.
	UDPBrief time.Duration
	// Unconfirmed is how long a flow that was not confirmed keeps others from its tuple.
	Unconfirmed time.Duration
	// Fragment is how long a datagram's first fragment is remembered.
	Fragment time.Duration
	// TimeWait is how long a target may remember what it has closed.
	TimeWait time.Duration
	// Refresh is how old it may be when a flow was last seen.
	Refresh time.Duration
	// NextHop is how long a next hop is used, Neighbour how long a neighbour's
	// silence is no answer.
	NextHop, Neighbour time.Duration
}
