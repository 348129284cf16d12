// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// isSourceRouted says of the options of an IPv4 header whether one of them says by which
// way the packet goes on (RFC 791 3.1).
func isSourceRouted(options []byte) bool {
	for len(options) > 0 {
		switch options[0] {
		case 0x83, 0x89:
			return true
		case 0:
			return false
		case 1:
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return false
		}
		options = options[options[1]:]
	}
	return false
}

// maySend says whether packets from an address may be forwarded.
func (h *Host) maySend(a netip.Addr) bool {
	thisNetwork := a.Is4() && a.As4()[0] == 0 || a == netip.IPv6Unspecified()
	return !isLoopback(a) && !thisNetwork && !isMulticast(a) && !isLinkLocal(a) && !h.Owns(a) && !h.Broadcasts[a]
}

// waysTried is of how many questions, in which only source address and port differ, one must be
// answered with a device that packets are expected by.
const waysTried = 8

// wayBack says of packets with a tuple whether a route leads them out at all, and whether
// one does by a device.
func (h *Host) wayBack(t Tuple, device string) (any, there bool) {
	if !h.Router {
		return false, false
	}
	for i := range waysTried {
		q := Question{Tuple: t}
		from := t.Source.Addr().AsSlice()
		from[len(from)-1] ^= byte(i)
		address, _ := netip.AddrFromSlice(from)
		q.Source = netip.AddrPortFrom(address, t.Source.Port()^uint16(i))
		r := h.Route(q)
		any, there = any || r.Device != "", there || r.Device == device
	}
	return any, there
}

// comesFromItsSource says whether the kernel would take a packet with a tuple, which arrives by a
// device, for one that comes from where its source is.
func (m *Model) comesFromItsSource(t Tuple, device string) bool {
	filter := m.Host.Devices[device].Sources
	if t.Source.Addr().Is6() || filter == maps.FilterNothing {
		return true
	}
	any, there := m.Host.wayBack(t.Reversed(), device)
	return there || any && filter == maps.FilterLoosely
}

// comesBy says whether a packet of a flow, which arrives by a device, comes from where the
// flow's packets do. Packets of a flow of others may come by any.
func (m *Model) comesBy(s side, p packet, device string) bool {
	known := &s.arrivals[s.direction]
	if *known == device {
		return true
	}
	if s.Forward != nil && !m.mayComeBy(s, p, device) {
		return false
	}
	*known = device
	return true
}

func (m *Model) mayComeBy(s side, p packet, device string) bool {
	if s.direction == reverse {
		// Where the client's packets leave, or might.
		if s.hops[forward].device == device {
			return true
		}
		request := s.Target
		request.Source = s.Client.Source
		_, there := m.Host.wayBack(request, device)
		return there
	}
	return m.takesFrom(s, device) && (!s.Elsewhere || m.comesFromItsSource(p.tuple, device))
}

// takesFrom says whether the forward of a flow takes clients from a device. A forward that is gone does, and
// so does one of a port that no forward has for some devices only.
func (m *Model) takesFrom(s side, device string) bool {
	to := s.Client.Destination
	boundHere := slices.ContainsFunc(m.Forwards, func(f *Forward) bool {
		return f.Protocol == s.Client.Protocol && has(f.Ports, to.Port()) && len(f.Devices) > 0
	})
	return !boundHere || s.Forward.deleted || m.frontend(to, s.Client.Protocol, device) == s.Forward
}
