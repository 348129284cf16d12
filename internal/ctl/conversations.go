// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// keepConversations has the packets of conversations left alone that exist already and
// would be taken for those of the new forwards' clients, or for the answers of their
// backends. It comes after the programs know the ports, so that conversations which
// begin meanwhile are noted by them, and before the change takes effect.
func (t *transaction) keepConversations() error {
	w := t.newcomers()
	protocols := w.protocols()
	if len(protocols) == 0 {
		return nil
	}
	var kept []maps.Conversation
	err := t.d.Conversations(protocols, func(c maps.Conversation) {
		if w.meet(c.Arriving) {
			kept = append(kept, c)
		}
	})
	if err != nil {
		return err
	}
	return t.d.Maps.KeepConversations(kept)
}

// newcomers are the frontends and the backends elsewhere that a change brings.
type newcomers struct {
	// isLocal says whether an address is the host's, and others can have conversations
	// with it.
	isLocal func(netip.Addr) bool
	// ephemeral and masquerade are the ports of the host's sockets and those of
	// masqueraded flows.
	ephemeral, masquerade maps.PortRange
	// ports are those of frontends, backendPorts those of backends, by protocol.
	ports, backendPorts map[uint8]*[1 << 16]bool
	frontends           []maps.Forward
	backends            []newBackend
}

type newBackend struct {
	maps.Backend
	protocol uint8
}

func (t *transaction) newcomers() *newcomers {
	w := &newcomers{
		isLocal:   func(a netip.Addr) bool { return t.host.HasAddress(a) && !a.IsLoopback() },
		ephemeral: t.d.Settings.Ephemeral, masquerade: t.d.Settings.Masquerade,
		ports: make(map[uint8]*[1 << 16]bool), backendPorts: make(map[uint8]*[1 << 16]bool),
	}
	for id, f := range t.after.all {
		if _, old := t.before.all[id]; !old && f.Alive(t.after.epoch) {
			w.frontends = append(w.frontends, f)
			mark(w.ports, f.Protocol, f.PortFirst, f.PortLast)
		}
	}
	for id, b := range t.after.backends {
		if _, old := t.before.backends[id]; !old && elsewhere(t.host, b.Address) {
			protocol := t.after.all[b.info.Forward].Protocol
			w.backends = append(w.backends, newBackend{b.Backend, protocol})
			mark(w.backendPorts, protocol, b.PortFirst, b.PortLast)
		}
	}
	return w
}

func mark(ports map[uint8]*[1 << 16]bool, protocol uint8, first, last uint16) {
	if ports[protocol] == nil {
		ports[protocol] = new([1 << 16]bool)
	}
	for port := int(first); port <= int(last); port++ {
		ports[protocol][port] = true
	}
}

func (w *newcomers) protocols() []uint8 {
	var protocols []uint8
	for _, protocol := range []uint8{uint8(TCP), uint8(UDP)} {
		if w.ports[protocol] != nil || w.backendPorts[protocol] != nil {
			protocols = append(protocols, protocol)
		}
	}
	return protocols
}

// meet says whether packets that arrive with a tuple would be taken for a newcomer's.
func (w *newcomers) meet(t maps.Tuple) bool {
	if ports := w.ports[t.Protocol]; ports != nil && ports[t.Destination.Port()] && slices.ContainsFunc(w.frontends, func(f maps.Forward) bool {
		to := t.Destination
		return f.Protocol == t.Protocol && f.PortFirst <= to.Port() && to.Port() <= f.PortLast &&
			(f.Address == to.Addr() || !f.Address.IsValid() && w.isLocal(to.Addr()))
	}) {
		return true
	}
	ports := w.backendPorts[t.Protocol]
	return ports != nil && ports[t.Source.Port()] && slices.ContainsFunc(w.backends, func(b newBackend) bool {
		from := t.Source
		return b.protocol == t.Protocol && b.Address == from.Addr() && b.PortFirst <= from.Port() && from.Port() <= b.PortLast &&
			w.masqueraded(b, t.Destination)
	})
}

// masqueraded says whether the client of a backend elsewhere could be one of ours, as
// the backend sees it.
func (w *newcomers) masqueraded(b newBackend, client netip.AddrPort) bool {
	if !w.isLocal(client.Addr()) {
		return b.Source != maps.BackendMasquerades
	}
	within := func(r maps.PortRange) bool { return r.First <= client.Port() && client.Port() <= r.Last }
	return !within(w.ephemeral) || within(w.masquerade)
}
