// SPDX-License-Identifier: Apache-2.0

package model

// opens says whether a packet opens a TCP connection.
func (m *Model) opens(p packet) bool { return p.flags&(flagSYN|flagRST|flagACK) == flagSYN }

// mayOpen says whether a packet to a frontend may have a flow made: TCP has one made
// by the packet that opens it, and by later ones of the client, whose flow was
// forgotten; answers and resets make none.
func (m *Model) mayOpen(p packet) bool {
	return p.tuple.Protocol == protocolUDP || m.opens(p) || p.flags&(flagSYN|flagRST|flagACK) == flagACK
}

// decideOther is for a packet of others' conversation. It has a flow, unless one has
// its tuple or that of its answers.
func (m *Model) decideOther(p packet, a arrival) decision {
	direct := decision{reason: "direct"}
	_, taken := m.flows[p.tuple]
	holder, answered := m.flows[p.tuple.Reversed()]
	if taken || answered && m.current(holder.Flow) {
		return direct
	}
	flow := &Flow{Client: p.tuple, Target: p.tuple, Leaving: !a.arriving, LastSeen: m.now}
	flow.begin(p)
	if !m.claim(flow, false) {
		return direct
	}
	return decision{follows: &side{flow, forward}}
}

// decideLeaving is for a packet that leaves and follows no flow.
func (m *Model) decideLeaving(p packet, a arrival, from, to portUse, reopened uint16) decision {
	source, destination := p.tuple.Source.Addr(), p.tuple.Destination.Addr()
	own := m.Host.Owns(source)
	meets := m.seesClients(destination)
	if own {
		meets = m.isBackend(destination) && m.masqueradingUses(p.tuple.Source.Port())
	}
	switch {
	case to.elsewhere && meets && m.isImpostor(p):
		return decision{reason: "impostor", forward: m.flows[p.tuple.Reversed()].Forward}
	case to.elsewhere && meets && p.flags&flagRST == 0:
		_, taken := m.flows[p.tuple]
		if holder, found := m.flows[p.tuple.Reversed()]; taken || found && holder.Forward == nil {
			return decision{reason: "direct"}
		}
		flow := &Flow{Client: p.tuple, Target: p.tuple, Leaving: true, ownSource: own}
		if reason := m.create(flow, p, reopened); reason != "" {
			return decision{reason: reason}
		}
		return decision{follows: &side{flow, forward}}
	case from.frontend && m.answersMeetFrontend(p, a, from):
		return m.decideOther(p, a)
	case from.here:
		return decision{reason: "no-flow"}
	}
	return decision{reason: "no-frontend"}
}

// isImpostor says whether a packet, which leaves for a target and would be left as it is,
// has the tuple of a client's flow.
func (m *Model) isImpostor(p packet) bool {
	_, taken := m.flows[p.tuple]
	holder, held := m.flows[p.tuple.Reversed()]
	return held && holder.Forward != nil && (taken || p.flags&flagRST != 0) && m.current(holder.Flow)
}

// masqueradingUses says whether masqueraded flows may have a source port.
func (m *Model) masqueradingUses(port uint16) bool {
	return !has(m.Host.Ephemeral, port) || has(m.Host.Masquerade, port)
}

// answersMeetFrontend says whether answers to a packet that leaves would be taken for
// a client's.
func (m *Model) answersMeetFrontend(p packet, a arrival, from portUse) bool {
	source := p.tuple.Source
	isTCP := p.tuple.Protocol == protocolTCP
	if p.flags&flagRST != 0 || isTCP && from.here && !m.opens(p) || isMulticast(p.tuple.Destination.Addr()) {
		return false
	}
	f := m.frontend(source, p.tuple.Protocol, a.device)
	return f != nil && (f.Address.IsValid() || m.Host.Owns(source.Addr()) && !m.Host.Services[source.Addr()] || m.Host.isDestination(p.tuple.Reversed()))
}

// Publish notes the conversations that sockets of the host have when a forward is
// added whose clients they would be taken for.
func (m *Model) Publish(f *Forward) {
	for t := range m.Sockets {
		to := t.Destination
		if t.Protocol == f.Protocol && has(f.Ports, to.Port()) && (!f.Address.IsValid() || f.Address == to.Addr()) {
			m.keep(t)
		}
	}
}

// PublishBackend is Publish for a backend elsewhere, whose answers to the host could
// meet those to masqueraded clients.
func (m *Model) PublishBackend(protocol uint8, b *Backend) {
	for t := range m.Sockets {
		from := t.Source
		if t.Protocol == protocol && m.isElsewhere(b.Address) && from.Addr() == b.Address && has(b.Ports, from.Port()) &&
			m.masqueradingUses(t.Destination.Port()) {
			m.keep(t)
		}
	}
}

func (m *Model) keep(t Tuple) {
	_, there := m.flows[t]
	_, answered := m.flows[t.Reversed()]
	if there || answered {
		return
	}
	flow := &Flow{Client: t, Target: t, Established: true, Answered: true, LastSeen: m.now}
	m.flows[t], m.flows[t.Reversed()] = side{flow, forward}, side{flow, reverse}
	m.order = append(m.order, flow)
}
