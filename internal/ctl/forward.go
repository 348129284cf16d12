// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"time"
)

// Protocol is a transport protocol by its IANA number.
type Protocol uint8

// The transport protocols that can be forwarded.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// PortRange is an inclusive range of ports in host byte order. A single port
// has First == Last. The zero value is no range.
type PortRange struct {
	First, Last uint16
}

// Frontend is what clients address: the key of a forward. Two forwards never
// share one.
type Frontend struct {
	Protocol Protocol
	// Address is invalid (the zero Addr) for "every address of this host,
	// IPv4 and IPv6". It never has a zone and is never IPv4-mapped IPv6.
	Address netip.Addr
	Ports   PortRange
	// Devices are the names of the devices on which packets must arrive,
	// sorted and without duplicates; empty means any.
	Devices []string
}

// BackendState says whether a backend gets new flows. Those that it has stay with
// it in either state.
type BackendState string

// The states of a backend.
const (
	BackendActive   BackendState = "active"
	BackendDraining BackendState = "draining"
)

// Backend is one place where a forward hands its traffic.
type Backend struct {
	// Address is invalid (the zero Addr) for this host, whatever the address
	// that the client used.
	Address netip.Addr
	// Ports has the length of the frontend's range, or is a single port.
	Ports PortRange
	// Weight is the share of new flows that the backend gets, relative to the
	// others': 0 to 1000. One with weight 0 is draining.
	Weight uint16
	State  BackendState
	// Health is what checks have found out; whoever gives a backend leaves it empty.
	// One that is down takes no new flows.
	Health Health
}

// Health is what is known of a backend.
type Health string

// What checks find out. Empty is unknown.
const (
	HealthUp   Health = "up"
	HealthDown Health = "down"
)

// Source says which source address the backend sees.
type Source string

// The choices of --source.
const (
	SourceAuto       Source = "auto"
	SourcePreserve   Source = "preserve"
	SourceMasquerade Source = "masquerade"
)

// Balance is how a new flow chooses its backend.
type Balance string

// The choices of --balance.
const (
	BalanceMaglev           Balance = "maglev"
	BalanceRoundRobin       Balance = "round-robin"
	BalanceRandom           Balance = "random"
	BalanceLeastConnections Balance = "least-connections"
	BalanceSourceHash       Balance = "source-hash"
)

// Own says which of this host's own connections a forward takes.
type Own string

// The choices of --own.
const (
	// OwnAuto takes all but those to an address at which a process listens by name.
	OwnAuto   Own = "auto"
	OwnAlways Own = "always"
	OwnNever  Own = "never"
)

// Forward publishes one frontend. `xfwd add 53/tcp+udp …` makes two, of one
// name.
type Forward struct {
	// Name is empty or unique, except that forwards share theirs whose frontends
	// differ in the protocol and the address only.
	Name     string
	Frontend Frontend
	// Backends are in the order that their user chose, which means nothing. A
	// forward without any refuses its clients.
	Backends []Backend
	Source   Source
	// SourceAddresses are addresses of this host, of which masqueraded flows have one; without
	// any, it is that by which this host reaches the backend. Their order means nothing.
	SourceAddresses []netip.Addr
	Balance         Balance
	// Affinity keeps a client with its backend this long; zero is off.
	Affinity time.Duration
	// AffinityGroup is the name of the forwards that share the machine of a client, by
	// affinity; empty for none.
	AffinityGroup string
	Own           Own
	Comment       string
	// ExpiresAt is when the forward ends by itself; the zero Time is never.
	ExpiresAt time.Time
	// Check is how backends are looked after; the zero Check is not at all.
	Check Check
	// MSS is the most that ends of TCP connections may announce, where a backend is
	// another machine.
	MSS MSS
}
