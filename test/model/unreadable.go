// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
)

// hidesFrontend says whether a packet that arrives and is malformed may be for a frontend,
// and which forward's that is, if its ports can be read.
func (m *Model) hidesFrontend(in Input, p packet) (f *Forward, hides bool) {
	to := p.tuple.Destination.Addr()
	if !to.IsValid() || to == netip.IPv6Unspecified() {
		return nil, false
	}
	isPublished := func(protocol uint8) bool {
		return slices.ContainsFunc(m.Forwards, func(f *Forward) bool { return f.Protocol == protocol })
	}
	isHost := func() bool { return m.Host.Owns(to) || m.Host.isDestination(p.tuple) }
	switch p.tuple.Protocol {
	case unknown:
		return nil, p.ipv6 && (isPublished(protocolTCP) || isPublished(protocolUDP)) && isHost()
	case protocolTCP, protocolUDP:
	default:
		return nil, false
	}
	if !isPublished(p.tuple.Protocol) {
		return nil, false
	}
	if min(len(in.Frame), p.end) < p.transport+4 {
		return nil, isHost()
	}
	p.setPorts(in.Frame[p.transport:])
	f = m.frontend(p.tuple.Destination, p.tuple.Protocol, in.Device)
	return f, f != nil && (f.Address.IsValid() || m.Host.isDestination(p.tuple))
}
