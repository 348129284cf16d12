// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/maps"
)

// Model is a host with xfwd, at a moment.
type Model struct {
	Host *Host
	// Timeouts are those of the programs, Command those of the command; they
	// differ in tests that hasten the programs.
	Timeouts, Command Timeouts
	// Forwards are those that are there, Deleted those that were and have flows
	// which live on.
	Forwards, Deleted []*Forward
	// RouteGeneration counts the changes of the routes, each of which ends all
	// next hops.
	RouteGeneration uint32
	// Sockets are the connections that sockets of the host have, TCP established and
	// UDP, as packets that they receive bear them.
	Sockets map[Tuple]bool

	now       time.Duration
	chance    Chance
	flows     map[Tuple]side
	order     []*Flow
	fragments map[datagram]fragmentSeen
	// affinities are those of clients that have confirmed a flow, newAffinities all
	// others.
	affinities, newAffinities map[affinityKey]affinity
}

// Chance tells what the programs have left to chance.
type Chance interface {
	// Source is the address and port that a client's new flow has got.
	Source(client Tuple) (source netip.AddrPort, found bool)
	// Backend is the id of the one that a client's new flow has got. There is none
	// if the programs made no flow; the refusal says why.
	Backend(client Tuple) (id uint32, why Refusal)
	// Affinity is the id of the backend that a client of a forward stays with.
	Affinity(forward uint32, client netip.Addr) uint32
}

// Refusal is why the programs made no flow.
type Refusal struct {
	Reason string
	// MTU is the one that they told the client, or 0.
	MTU int
}

// like says whether it may be this decision. A packet can be too big for the way to
// one backend and for the way to another, with different MTUs.
func (r Refusal) like(d decision) bool {
	return r.Reason == d.reason && (r.MTU == 0 || r.MTU == d.mtu)
}

// New returns a model without forwards and flows.
func New(host *Host, timeouts, command Timeouts, chance Chance) *Model {
	return &Model{
		Host: host, Timeouts: timeouts, Command: command, chance: chance,
		flows:      make(map[Tuple]side),
		fragments:  make(map[datagram]fragmentSeen),
		affinities: make(map[affinityKey]affinity), newAffinities: make(map[affinityKey]affinity),
		Sockets: make(map[Tuple]bool),
	}
}

// Wait lets time pass.
func (m *Model) Wait(d time.Duration) { m.now += d }

// Age is how long ago a flow was seen.
func (m *Model) Age(f *Flow) time.Duration { return m.now - f.LastSeen }

// datagram is how its fragments are known.
type datagram struct {
	source, destination netip.Addr
	id                  uint32
	protocol            uint8 // of IPv4; IPv6 does not tell datagrams apart by it
}

type fragmentSeen struct {
	tuple Tuple
	at    time.Duration
}

func (p packet) datagram() datagram {
	d := datagram{p.tuple.Source.Addr(), p.tuple.Destination.Addr(), p.fragmentID, p.tuple.Protocol}
	if p.ipv6 {
		d.protocol = 0
	}
	return d
}

// decision is what becomes of a packet: it follows a flow, or there is a reason.
type decision struct {
	follows *side
	reason  string
	// forward is whose traffic or drop it is, or nil; opened: it has a new flow.
	forward *Forward
	opened  bool
	// renewed: its next hop was looked up. mtu is what it is too big for.
	renewed bool
	mtu     int
}

// arrival is how a packet came: by the IP layer of a device, from outside or on
// its way there.
type arrival struct {
	device   string
	arriving bool
	raw      bool
}

// decide says what becomes of a packet.
func (m *Model) decide(p packet, a arrival) decision {
	if p.kind == fragment {
		return m.decideFragment(p, a)
	}
	from := m.use(p.tuple.Protocol, p.tuple.Source.Port())
	to := m.use(p.tuple.Protocol, p.tuple.Destination.Port())
	fromOurs, toOurs := from.elsewhere, to.frontend || to.lingering || to.target()
	if !a.arriving {
		fromOurs, toOurs = from.here || from.frontend || p.kind == icmpError && from.elsewhere, to.elsewhere
	}
	if !fromOurs && !toOurs {
		return decision{reason: "no-frontend"}
	}
	s, reopened, wrongDevice := m.find(p, a.device, a.arriving)
	var d decision
	switch {
	case wrongDevice:
		return decision{forward: s.Forward, reason: "wrong-device"}
	case s != nil:
		d = m.follow(*s, p, a)
	case p.kind == icmpError:
		return decision{reason: "icmp-unrelated"}
	case !a.arriving:
		d = m.decideLeaving(p, a, from, to, reopened)
	case to.frontend:
		d = m.decideNew(p, a, to, reopened)
	case to.target():
		d = m.decideDirect(p, to, reopened)
	case to.lingering:
		return decision{reason: "no-frontend"}
	default:
		return decision{reason: "no-flow"}
	}
	if d.follows != nil && p.first && p.kind == transport {
		m.fragments[p.datagram()] = fragmentSeen{p.tuple, m.now}
	}
	return d
}

// decideFragment: a later fragment goes where its first one went.
func (m *Model) decideFragment(p packet, a arrival) decision {
	seen, found := m.fragments[p.datagram()]
	if !found || m.now-seen.at > m.Timeouts.Fragment {
		return decision{reason: "fragment-early"}
	}
	s, found := m.flows[seen.tuple]
	if !found {
		return decision{reason: "fragment-early"}
	}
	if a.arriving && !m.comesBy(s, p, a.device) {
		return decision{forward: s.Forward, reason: "wrong-device"}
	}
	return m.follow(s, p, a)
}

// follow: the packet goes where its flow goes, if it can leave.
func (m *Model) follow(s side, p packet, a arrival) decision {
	d := decision{follows: &s, forward: s.Forward}
	if !a.arriving || !s.Elsewhere {
		return d
	}
	if p.sourceRouted {
		return decision{forward: s.Forward, reason: "source-routed"}
	}
	d.renewed, d.mtu, d.reason = m.leave(s.hop(), s.question(p), p, a)
	if d.reason != "" {
		d.follows = nil
	}
	return d
}

// leave says whether a packet can leave the host by a next hop, which is looked up
// when that is due.
func (m *Model) leave(h *hop, q Question, p packet, a arrival) (renewed bool, mtu int, reason string) {
	if p.network > ethernetHeader {
		return false, 0, "vlan" // behind another tag, which the kernel took off
	}
	if a.raw || !m.fresh(h) {
		silent, reason := m.lookUp(h, q)
		if reason != "" {
			return false, 0, reason
		}
		if silent {
			return false, 0, "no-neighbour"
		}
		renewed = true
	}
	mtu = m.Host.Devices[h.device].MTU
	switch {
	case p.ttl <= 1:
		return renewed, mtu, "time-exceeded"
	case p.size > mtu && !fitsInFragments(p, mtu):
		return renewed, mtu, "too-big"
	}
	return renewed, mtu, ""
}

const ethernetHeader = 14

// decideNew is for the first packet of a client to a frontend.
func (m *Model) decideNew(p packet, a arrival, use portUse, reopened uint16) decision {
	noFrontend := func() decision {
		if use.target() {
			return m.decideDirect(p, use, reopened)
		}
		return decision{reason: "no-frontend"}
	}
	to := p.tuple.Destination
	f := m.frontend(to, p.tuple.Protocol, a.device)
	switch {
	case f == nil:
		return noFrontend()
	case isLoopback(to.Addr()):
		return decision{reason: "loopback", forward: f}
	case !f.Address.IsValid() && !m.Host.isDestination(p.tuple):
		return decision{reason: "not-this-host", forward: f}
	case !m.mayOpen(p):
		return decision{reason: "no-flow"}
	case !m.opens(p) && m.Sockets[p.tuple]:
		return m.decideOther(p, a)
	case !f.serves(family(to.Addr())):
		return noFrontend()
	}
	backends := m.choose(f, p.tuple)
	if len(backends) == 0 {
		return decision{reason: "no-backend", forward: f}
	}
	if len(backends) == 1 {
		return m.open(f, backends[0], p, a, reopened)
	}
	id, why := m.chance.Backend(p.tuple)
	for _, b := range backends {
		// What cannot be opened changes nothing, so the others may be tried.
		if id == b.ID || id == 0 && why.like(m.plan(new(Flow), f, b, p, a)) {
			return m.open(f, b, p, a, reopened)
		}
	}
	return decision{reason: "a backend that is none to choose", forward: f}
}

// open makes the flow of a packet to a backend.
func (m *Model) open(f *Forward, b *Backend, p packet, a arrival, reopened uint16) decision {
	flow := new(Flow)
	d := m.plan(flow, f, b, p, a)
	if d.reason == "" {
		d.reason = m.create(flow, p, reopened)
	}
	if d.reason == "" {
		d.opened, d.follows = true, &side{flow, forward}
	}
	return d
}

// plan fills in what the flow of a packet to a backend shall be.
func (m *Model) plan(flow *Flow, f *Forward, b *Backend, p packet, a arrival) decision {
	client, target := p.tuple, p.tuple
	address, port := b.Address, f.targetPort(b, client.Destination.Port())
	if !address.IsValid() {
		asked := client.Destination.Addr()
		target.Destination = netip.AddrPortFrom(asked, port)
		address = m.Host.destination(target, a.device, !f.Address.IsValid() || m.Host.Owns(asked), m.Sockets[target])
	}
	d := decision{forward: f}
	if !address.IsValid() {
		d.reason = "no-local-address"
		return d
	}
	target.Destination = netip.AddrPortFrom(address, port)
	*flow = Flow{
		Client: client, Target: target, Forward: f, Backend: b, generation: b.generation,
		Elsewhere: m.isElsewhere(b.Address), counted: f.Balance == maps.BalanceLeastConnections,
		arrivals: [2]string{forward: a.device},
	}
	if !flow.Elsewhere {
		return d
	}
	from := client.Source.Addr()
	switch {
	case !m.Host.maySend(from):
		d.reason = "spoofed"
		return d
	case p.sourceRouted:
		d.reason = "source-routed"
		return d
	}
	flow.cameBy = a.device
	d.renewed, d.mtu, d.reason = m.leave(&flow.hops[forward], side{flow, forward}.question(p), p, a)
	if flow.hops[forward].device != "" && !m.comesFromItsSource(client, a.device) {
		d.reason = "spoofed"
	}
	if d.reason != "" {
		return d
	}
	out := flow.hops[forward].device
	across := b.Source == maps.BackendKeepsSourceAcross && out == a.device
	if from == address || across || b.Source == maps.BackendMasquerades {
		ours := b.Masquerade
		if pool := m.sourcePool(f, address); len(pool) > 0 {
			ours = pool[maps.HashOfSource(from)%uint32(len(pool))]
		}
		if !ours.IsValid() {
			ours = m.Host.primary(out, address)
		}
		if !ours.IsValid() {
			d.reason = "no-local-address"
			return d
		}
		flow.Target.Source = withAddr(client.Source, ours)
	}
	return d
}

// decideDirect is for a client that talks to a target itself. It has a flow, which
// translates nothing but, where the target knows the tuple already, the port.
func (m *Model) decideDirect(p packet, use portUse, reopened uint16) decision {
	to := p.tuple.Destination.Addr()
	if !(m.Host.Owns(to) && use.here) && !(m.seesClients(to) && use.elsewhere) {
		return decision{reason: "direct"}
	}
	flow := &Flow{Client: p.tuple, Target: p.tuple}
	if reason := m.create(flow, p, reopened); reason != "" {
		return decision{reason: reason}
	}
	return decision{follows: &side{flow, forward}}
}

// Changed is to be called when the forwards or their backends have changed: flows
// end that cannot live on, and what is gone and has none is forgotten.
func (m *Model) Changed() {
	m.RouteGeneration++
	flows := slices.Clone(m.Flows())
	for _, f := range slices.Concat(m.Forwards, m.Deleted) {
		f.tables = [2][]uint32{}
		f.Gone = slices.DeleteFunc(f.Gone, func(b *Backend) bool { return !m.lingers(f, b, flows) })
	}
	m.Deleted = slices.DeleteFunc(m.Deleted, func(f *Forward) bool { return len(f.Gone) == 0 })
}

// lingers says whether a backend that is gone has flows yet, or others have
// because of it; those that cannot live on are ended.
func (m *Model) lingers(forward *Forward, b *Backend, flows []*Flow) bool {
	lingers := false
	for _, f := range flows {
		switch {
		case f.Backend == b && f.livesOn() && !m.expired(f, m.Command):
			lingers = true
		case f.Backend == b:
			m.delete(f)
		case f.Backend == nil && f.Client != f.Target && !m.expired(f, m.Command) && !f.closed() &&
			f.Client.Protocol == forward.Protocol && has(b.Ports, f.Client.Destination.Port()):
			lingers = true
		}
	}
	return lingers
}

// Delete removes a forward; with reset, its connections end.
func (m *Model) Delete(f *Forward, reset bool) {
	for _, b := range slices.Clone(f.Backends) {
		m.DeleteBackend(f, b, reset)
	}
	f.deleted = true
	m.Forwards = slices.DeleteFunc(m.Forwards, func(o *Forward) bool { return o == f })
	m.Deleted = append(m.Deleted, f)
}

// DeleteBackend takes a backend from a forward; with reset, its connections end.
func (m *Model) DeleteBackend(f *Forward, b *Backend, reset bool) {
	b.gone = true
	if reset {
		b.generation++
	}
	f.Backends = slices.DeleteFunc(f.Backends, func(o *Backend) bool { return o == b })
	f.Gone = append(f.Gone, b)
}
