// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"

	"github.com/xfwd/xfwd/internal/maps"
)

// Host is what the model must know of the host and its network.
type Host struct {
	Devices map[string]Device
	// Local are the host's addresses, those of loopback included.
	Local map[netip.Addr]bool
	// Primary are its addresses where a device has none, of IPv4 and IPv6.
	Primary [2]netip.Addr
	// Router: it forwards packets of others.
	Router bool
	// Route says where a packet to an address goes.
	Route func(netip.Addr) Route
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
	// MTU is how many bytes of IP it takes.
	MTU int
	// Pair: its other end is in another namespace, and received there at once.
	Pair bool
	// XDP: our program is in its driver.
	XDP bool
}

// Route is what the routing table says of an address.
type Route struct {
	// Here: the address is the host's, or one of its broadcast addresses.
	Here bool
	// Device is where other packets leave; none if nothing leads there.
	Device string
	// Neighbour is the link-layer address that they are sent to, if Known.
	Neighbour [6]byte
	Known     bool
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

// isDestination says whether packets with a tuple are for the host. Where nothing
// is forwarded, only the addresses that it knows are its own.
func (h *Host) isDestination(t Tuple) bool {
	to := t.Destination.Addr()
	if !h.Router || isNeverRouted(t.Source.Addr()) || isNeverRouted(to) {
		return h.Local[to]
	}
	return h.Route(to).Here
}

// isNeverRouted says whether IPv6 forwards nothing from or to an address.
func isNeverRouted(a netip.Addr) bool {
	return a.Is6() && (isLinkLocal(a) || isMulticast(a) || isLoopback(a))
}

// isLinkLocal: fe80::/10 (RFC 4291 2.5.6) and 169.254.0.0/16 (RFC 3927).
func isLinkLocal(a netip.Addr) bool { return a.IsLinkLocalUnicast() }

// isLoopback: 127.0.0.0/8 (RFC 1122 3.2.1.3) and ::1 (RFC 4291 2.5.3).
func isLoopback(a netip.Addr) bool { return a.IsLoopback() }

// isNobodys says whether no single machine has an address: multicast, broadcast and
// the unspecified address.
func isNobodys(a netip.Addr) bool {
	return isMulticast(a) || a.IsUnspecified()
}

// isMulticast: 224.0.0.0/4, ff00::/8 and the broadcast address. The rest of
// 240.0.0.0/4 is unicast, as Linux has it.
func isMulticast(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
