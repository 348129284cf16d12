// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// OwnHost is what decides about the host's own connections.
type OwnHost struct {
	// Local are the host's addresses.
	Local map[netip.Addr]bool
	// Primary are its addresses of IPv4 and IPv6.
	Primary   [2]netip.Addr
	Forwards  []OwnForward
	Listeners []Listener
}

// OwnForward is a forward with one backend, as own connections meet it.
type OwnForward struct {
	Protocol uint8
	// Address is the frontend's; the zero Addr is every address of the host.
	Address netip.Addr
	Ports   maps.PortRange
	// OnLoopback: its devices are lo and maybe others. AnyDevice: it names none.
	OnLoopback, AnyDevice bool
	Own                   maps.Own
	// Target is the backend's address; the zero Addr is this host.
	Target      netip.Addr
	TargetPorts maps.PortRange
}

// Listener is a socket of the host that waits for clients.
type Listener struct {
	Protocol uint8
	// Local is where: an unspecified address is every address of both families.
	Local netip.AddrPort
}

// Peer returns the remote end that a socket of the host gets when its program asks for
// one.
func (h *OwnHost) Peer(protocol uint8, asked netip.AddrPort) netip.AddrPort {
	f := h.find(protocol, asked)
	if f == nil {
		return asked
	}
	to := asked.Addr()
	onLoopback := to.IsLoopback() || to.IsUnspecified()
	switch {
	case !f.Address.IsValid() && !onLoopback && !h.Local[to]:
		return asked
	case f.Own == maps.OwnNever:
		return asked
	case f.Own == maps.OwnAuto && !f.Address.IsValid() && h.listensByName(protocol, asked):
		return asked
	case f.Target.IsValid() && f.Target.Is4() != to.Is4():
		return asked
	}
	port := f.TargetPorts.First
	if f.TargetPorts.First != f.TargetPorts.Last {
		port += asked.Port() - f.Ports.First
	}
	target := netip.AddrPortFrom(to, port)
	switch {
	case f.Target.IsValid():
		return netip.AddrPortFrom(f.Target, port)
	case (onLoopback || h.Local[to]) && h.listens(protocol, target):
		return target
	}
	return netip.AddrPortFrom(h.Primary[family(to)], port)
}

// find returns the forward of a destination: an address beats none, then a device beats
// none, then a single port beats a range.
func (h *OwnHost) find(protocol uint8, to netip.AddrPort) *OwnForward {
	var best *OwnForward
	bestRank := -1
	for i := range h.Forwards {
		f := &h.Forwards[i]
		if f.Protocol != protocol || to.Port() < f.Ports.First || f.Ports.Last < to.Port() ||
			f.Address.IsValid() && f.Address != to.Addr() || !f.AnyDevice && !f.OnLoopback {
			continue
		}
		rank := 0
		for _, better := range []bool{f.Address.IsValid(), f.OnLoopback, f.Ports.First == f.Ports.Last} {
			rank *= 2
			if better {
				rank++
			}
		}
		if rank > bestRank {
			best, bestRank = f, rank
		}
	}
	return best
}

// listensByName says whether a socket waits at just this address.
func (h *OwnHost) listensByName(protocol uint8, at netip.AddrPort) bool {
	return slices.Contains(h.Listeners, Listener{protocol, Reached(at)})
}

// listens says whether a socket waits at this address or at all.
func (h *OwnHost) listens(protocol uint8, at netip.AddrPort) bool {
	return h.listensByName(protocol, at) ||
		slices.Contains(h.Listeners, Listener{protocol, netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())})
}

// Reached is where the kernel sends what is for an address: to loopback, if that is
// unspecified.
func Reached(at netip.AddrPort) netip.AddrPort {
	switch at.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
	}
	return at
}
