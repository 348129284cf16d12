// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// Host is what the model must know of the host and its network.
type Host struct {
	Devices map[string]Device
	// Local are the host's addresses, those of loopback included, with the networks in
	// which the kernel answers from them, or the zero Prefix.
	Local map[netip.Addr]netip.Prefix
	// LocalPrefixes are the host's own by a route.
	LocalPrefixes []netip.Prefix
	// Services are those of Local that only a frontend which names them means.
	Services map[netip.Addr]bool
	// Broadcasts are the broadcast addresses of its networks.
	Broadcasts map[netip.Addr]bool
	// RoutesAll: the command has seen that every packet has a route.
	RoutesAll bool
	// Sockets are those that wait for somebody.
	Sockets []Socket
	// Primary are its addresses where a device has none, of IPv4 and IPv6.
	Primary [2]netip.Addr
	// Router: it forwards packets of others.
	Router bool
	// TellsSource: the kernel tells programs which address it answers from (Linux 6.7).
	TellsSource bool
	// Route says where a packet goes.
	Route func(Question) Route
	// Everywhere says whether there is a route to every address.
	Everywhere func(ipv6 bool) bool
	// RuleMSS are the smallest MSS that rules of netfilter set, of IPv4 and IPv6; 0 is none.
	RuleMSS [2]uint16
	// Ephemeral are ports that the kernel gives to the host's own sockets,
	// Masquerade those that masqueraded flows get.
	Ephemeral, Masquerade maps.PortRange
}

// Device is one of the host's.
type Device struct {
	// MAC is its link-layer address.
	MAC [6]byte
	// Primary are its first addresses, of IPv4 and IPv6.
	Primary [2]netip.Addr
	// Sources says which sources the kernel takes packets of IPv4 from that arrive by it.
	Sources maps.SourceFilter
	// MTU is how many bytes of IP it takes.
	MTU int
	// Pair: its other end is in another namespace, and received there at once.
	Pair bool
	// XDP: our program is in its driver.
	XDP bool
}

// Question is what routes and rules are asked for.
type Question struct {
	// Tuple is that of the packet: of a client's, its own source and its target; of a
	// target's as it leaves.
	Tuple
	// Class is the traffic class of IPv6.
	Class uint8
	// Answers is, of a target's packet, the device by which its client's first packet
	// came.
	Answers string
}

// Route is what the routing table says of an address.
type Route struct {
	// Stays: packets to it are not forwarded. The address is the host's, or nobody's, or
	// there is no route.
	Stays bool
	// Device is where other packets leave; none if nothing leads there.
	Device string
	// Neighbour is the link-layer address that they are sent to, if Known.
	Neighbour [6]byte
	Known     bool
}

// Socket is one of the host that waits for somebody.
type Socket struct {
	Protocol uint8
	// Local has the unspecified address of IPv6 for a socket that takes what is sent to
	// any address.
	Local netip.AddrPort
}

// family is the index of an address's family.
func family(a netip.Addr) int {
	if a.Is4() {
		return maps.IPv4
	}
	return maps.IPv6
}

// primary is the host's address on a device, of the family of another address.
func (h *Host) primary(device string, like netip.Addr) netip.Addr {
	if a := h.Devices[device].Primary[family(like)]; a.IsValid() {
		return a
	}
	return h.Primary[family(like)]
}

// Owns says whether an address is the host's, as far as it is known.
func (h *Host) Owns(a netip.Addr) bool {
	_, known := h.Local[a]
	return known || slices.ContainsFunc(h.LocalPrefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isDestination says whether packets with a tuple are for the host, if their frontend
// has no address. Where nothing is forwarded, or not every address has a route, only the
// addresses that it knows are its own.
func (h *Host) isDestination(t Tuple) bool {
	to := t.Destination.Addr()
	if isMulticast(to) || h.Broadcasts[to] || h.Services[to] {
		return false
	}
	if !h.Router || isNeverRouted(t.Source.Addr()) || isNeverRouted(to) {
		return h.Owns(to)
	}
	return h.Route(Question{Tuple: t}).Stays && (h.Owns(to) || h.RoutesAll && h.Everywhere(to.Is6()))
}

// destination is the address of the host that a packet with a tuple, whose ports are
// translated, goes to where the target is the host and names none. Here: the tuple's own
// is the host's. Connected: a socket has just this tuple.
func (h *Host) destination(t Tuple, device string, here, connected bool) netip.Addr {
	asked := t.Destination.Addr()
	primary := h.primary(device, asked)
	if !here {
		return primary
	}
	if !primary.IsValid() || primary == asked || isLinkLocal(asked) {
		return asked
	}
	bound, wildcard := h.waiting(t)
	switch {
	case connected, bound, wildcard && t.Protocol == protocolTCP:
		return asked
	case wildcard:
		return h.answering(t, primary)
	case asked == h.Primary[family(asked)]:
		return asked
	}
	return primary
}

// waiting says whether a socket waits for packets with a tuple, bound to their
// destination, and whether one does that is bound to no address.
func (h *Host) waiting(t Tuple) (bound, wildcard bool) {
	for _, s := range h.Sockets {
		if s.Protocol == t.Protocol && s.Local.Port() == t.Destination.Port() {
			bound = bound || s.Local.Addr() == t.Destination.Addr()
			wildcard = wildcard || s.Local.Addr().IsUnspecified()
		}
	}
	return bound, wildcard
}

// answering is the address from which a socket without one answers the client of a
// tuple: a router can ask the kernel, if that tells.
func (h *Host) answering(t Tuple, primary netip.Addr) netip.Addr {
	client, asked := t.Source.Addr(), t.Destination.Addr()
	// For the unspecified address the kernel chooses a link-local one, which tells nothing.
	if h.Router && h.TellsSource && !isNeverRouted(client) && client != netip.IPv6Unspecified() {
		back := t.Reversed()
		back.Source = netip.AddrPortFrom(netip.Addr{}, back.Source.Port())
		if r := h.Route(Question{Tuple: back}); r.Device != "" {
			return h.Devices[r.Device].Primary[family(client)]
		}
	}
	if h.Local[asked].Contains(client) {
		return asked
	}
	return primary
}

// isNeverRouted says whether IPv6 forwards nothing from or to an address.
func isNeverRouted(a netip.Addr) bool {
	return a.Is6() && (isLinkLocal(a) || isMulticast(a) || isLoopback(a))
}

// isLinkLocal: fe80::/10 (RFC 4291 2.5.6) and 169.254.0.0/16 (RFC 3927).
func isLinkLocal(a netip.Addr) bool { return a.IsLinkLocalUnicast() }

// isLoopback: 127.0.0.0/8 (RFC 1122 3.2.1.3) and ::1 (RFC 4291 2.5.3).
func isLoopback(a netip.Addr) bool { return a.IsLoopback() }

// isMulticast: 224.0.0.0/4, ff00::/8 and the broadcast address. The rest of
// 240.0.0.0/4 is unicast, as Linux has it.
func isMulticast(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
