// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/maps"
)

// Flow is what a client and a target have with each other.
type Flow struct {
	// Client is what the client's packets bear, Target what they become.
	Client, Target Tuple
	// Forward and Backend are nil where a client talks to a target directly.
	Forward *Forward
	Backend *Backend
	// Established is TCP that both ends have confirmed, or UDP that goes both
	// ways.
	Established bool
	// Answered: the target has sent something.
	Answered bool
	// Elsewhere: the target is not the host, so packets leave again.
	Elsewhere bool
	// Leaving: of a conversation of others, made by a packet that left. Packets of
	// the client leave, and those of the target arrive.
	Leaving bool
	// Brief: a question to a well-known port with its answer is all.
	Brief bool
	// LastSeen is when a packet came, to about Timeouts.Refresh.
	LastSeen time.Duration

	// said is what the segments of both directions have said, TCP.
	said [2]Said
	// arrivals are the devices by which packets of both directions come; "" is not known
	// yet.
	arrivals [2]string
	// cameBy is the device by which its first packet came.
	cameBy string
	// generation is the backend's when the flow was made.
	generation int
	// counted: the balance wants to know of it.
	counted bool
	// ownSource: the client is the host, so its port may not become any.
	ownSource bool
	// hops are the ways of both directions.
	hops [2]hop
}

// The directions of a flow, as indices.
const (
	forward = iota
	reverse
)

// side is a flow as one direction's packets meet it.
type side struct {
	*Flow
	direction int
}

// to is what the packets of the direction become.
func (s side) to() Tuple {
	if s.direction == reverse {
		return s.Client.Reversed()
	}
	return s.Target
}

// leaves says whether packets of the direction meet the host's programs on their way
// out.
func (s side) leaves() bool { return (s.direction == forward) == s.Leaving }

// question is what routes are asked for a packet of the direction.
func (s side) question(p packet) Question {
	q := Question{Tuple: s.to(), Class: p.class}
	if s.direction == reverse {
		q.Answers = s.cameBy
		return q
	}
	q.Source = withAddr(q.Source, p.tuple.Source.Addr())
	if p.kind != fragment {
		q.Source = p.tuple.Source
	}
	return q
}

func (s side) hop() *hop { return &s.hops[s.direction] }

// keys are the tuples under which a flow is found: those of the client's packets
// and of the target's.
func (f *Flow) keys() [2]Tuple { return [2]Tuple{f.Client, f.Target.Reversed()} }

// FinForward and FinReverse say that the client or the target has closed a TCP
// connection, Reset that either has ended it.
func (f *Flow) FinForward() bool { return f.said[forward].HasFIN }
func (f *Flow) FinReverse() bool { return f.said[reverse].HasFIN }
func (f *Flow) Reset() bool      { return f.said[forward].Reset || f.said[reverse].Reset }

// Said is what the client's segments have said, or the target's.
func (f *Flow) Said(byTarget bool) Said {
	if byTarget {
		return f.said[reverse]
	}
	return f.said[forward]
}

func (f *Flow) closed() bool { return f.Reset() || f.FinForward() && f.FinReverse() }

// limit is how long a flow may be silent.
func (t Timeouts) limit(f *Flow) time.Duration {
	switch {
	case f.Client.Protocol == protocolUDP && f.Answered && f.Brief && !f.Established:
		return t.UDPBrief
	case f.Client.Protocol == protocolUDP && f.Answered:
		return t.UDPAnswered
	case f.Client.Protocol == protocolUDP:
		return t.UDPOneWay
	case f.Established:
		return t.TCPEstablished
	}
	return t.TCPTransitory
}

func (m *Model) expired(f *Flow, by Timeouts) bool { return m.now-f.LastSeen > by.limit(f) }

// livesOn says of a flow whose backend is gone whether it does: TCP does, up to
// the last acknowledgement, once it was established.
func (f *Flow) livesOn() bool {
	return f.Client.Protocol == protocolTCP && (f.Established || f.closed()) && f.generation == f.Backend.generation
}

// current says whether a flow still stands.
func (m *Model) current(f *Flow) bool {
	switch {
	case m.expired(f, m.Timeouts):
		return false
	case f.Backend == nil:
		return true
	case f.Backend.gone:
		return f.livesOn()
	}
	return f.generation == f.Backend.generation
}

// delete removes a flow under both of its tuples.
func (m *Model) delete(f *Flow) {
	for _, key := range f.keys() {
		delete(m.flows, key)
	}
	i := slices.Index(m.order, f)
	m.order = slices.Delete(m.order, i, i+1)
}

// Flows are all flows, those included that no longer stand, the oldest first.
func (m *Model) Flows() []*Flow { return m.order }

// find returns the flow that a packet belongs to, if it still stands. Otherwise
// reopened is the source port that it had, or 0. Packets that leave belong to flows
// only that have not served them when they arrived, but for errors that the host
// itself may send. wrongDevice: it is none of the flow's, whose packets come by another one.
func (m *Model) find(p packet, device string, arriving bool) (found *side, reopened uint16, wrongDevice bool) {
	s, exists := m.flows[p.tuple]
	if !exists || !arriving && p.kind == transport && (s.Elsewhere || !s.leaves()) {
		return nil, 0, false
	}
	opens := p.flags&(flagSYN|flagACK) == flagSYN
	endedUnseen := s.Established && s.Forward == nil && m.now-s.LastSeen > m.Timeouts.TCPTransitory && !m.Sockets[p.tuple]
	current := m.current(s.Flow)
	if current && arriving && p.kind == transport && !m.comesBy(s, p, device) {
		return &s, 0, true
	}
	if !current || opens && (s.closed() || endedUnseen) {
		m.delete(s.Flow)
		return nil, s.to().Source.Port(), false
	}
	switch {
	case p.kind == transport:
		m.track(s, p)
	case p.tuple.Protocol == protocolTCP && !s.mayFail(p.sequence):
		return nil, 0, false
	}
	return &s, 0, false
}

// track follows the state of the flow of a packet. It returns whether the flow
// became established, or closed after it was.
func (m *Model) track(s side, p packet) (moved bool) {
	isTCP := p.tuple.Protocol == protocolTCP
	// UDP of others lives as long as the host's side speaks.
	if m.now-s.LastSeen > m.Timeouts.Refresh && (isTCP || s.Forward != nil || s.leaves()) {
		s.LastSeen = m.now
	}
	if !isTCP {
		return m.trackDatagram(s)
	}
	if !s.hear(p) {
		return false
	}
	switch {
	case s.closed() && s.Established:
		s.Established, s.LastSeen = false, m.now
		return true
	case s.closed() || s.Established:
		return false
	case s.direction == reverse:
		s.Answered = true
		return false
	}
	if !s.said[reverse].confirms(p) {
		return false
	}
	s.Established = true
	m.confirm(s.Flow)
	return true
}

// trackDatagram: UDP is established when the client speaks after the target.
func (m *Model) trackDatagram(s side) (moved bool) {
	if s.direction == reverse {
		s.Answered = true
		return false
	}
	if s.Established || !s.Answered {
		return false
	}
	s.Established = true
	m.confirm(s.Flow)
	return true
}

// yields says whether a flow gives its tuple away, to the same client or another one.
// With pressing, there is no other tuple.
func (m *Model) yields(f side, to Tuple, pressing bool) bool {
	silent := m.now - f.LastSeen
	target := f.said[reverse]
	answers := f.direction == reverse
	switch {
	case !m.current(f.Flow):
		return true
	case f.closed() && f.Reset() && !(answers && target.Reset):
		return false // the client may just be silent
	case f.closed():
		return silent > m.Timeouts.TimeWait ||
			answers && (f.Client.Source == to.Source || pressing && target.LastAck && !target.FINFirst)
	case f.Established:
		return false
	case !f.Answered && f.Forward == nil && !f.Leaving:
		return pressing || silent > m.Timeouts.Unconfirmed
	case f.Answered && f.Client.Protocol == protocolUDP:
		return false
	}
	return pressing && silent > m.Timeouts.Unconfirmed
}

// begin notes what the flow's first packet says.
func (f *Flow) begin(p packet) {
	f.said[forward] = learned(p)
	f.said[reverse] = f.said[forward].turned()
}

// claim makes a flow, if no other has one of its tuples that does not yield.
func (m *Model) claim(f *Flow, pressing bool) bool {
	answers := f.Target.Reversed()
	if answers == f.Client {
		return false // its two directions could not be told apart
	}
	if holder, taken := m.flows[answers]; taken {
		if !m.yields(holder, f.Client, pressing) {
			return false
		}
		m.delete(holder.Flow)
	}
	m.flows[answers] = side{f, reverse}
	m.flows[f.Client] = side{f, forward}
	m.order = append(m.order, f)
	return true
}

// Forget removes flows that are over, if a command has removed them.
func (m *Model) Forget(removed func(*Flow) bool) {
	for _, f := range slices.Clone(m.order) {
		if m.expired(f, m.Timeouts) && m.expired(f, m.Command) && removed(f) {
			m.delete(f)
		}
	}
}

// create makes the flow of a packet, or returns the reason why it cannot. It keeps
// the client's port if it can, then tries one that it had before, and then chance
// chooses, of all addresses that it may have.
func (m *Model) create(f *Flow, p packet, reopened uint16) (reason string) {
	f.LastSeen = m.now
	f.begin(p)
	f.Brief = f.Forward != nil && f.Client.Protocol == protocolUDP && f.Client.Destination.Port() < 1024
	masqueraded := f.Target.Source.Addr() != f.Client.Source.Addr()
	tried := func(port uint16, pressing bool) bool {
		f.Target.Source = withPort(f.Target.Source, port)
		return m.claim(f, pressing)
	}
	// A socket has the tuple from before there was the forward.
	served := f.Forward != nil && !f.Elsewhere && p.flags&flagSYN != 0 && m.Sockets[f.Target]
	if own := f.Client.Source.Port(); (!masqueraded || m.mayKeep(own)) && !served && tried(own, false) {
		return ""
	}
	if reopened != 0 && tried(reopened, false) {
		return ""
	}
	source, found := m.chance.Source(f.Client)
	port := source.Port()
	switch {
	case !found:
		return "no-source-port"
	case source.Addr() != f.Target.Source.Addr() && !(masqueraded && m.inPool(f, source.Addr())):
		return fmt.Sprintf("source address %s is none to choose", source.Addr())
	case !has(m.sourcePorts(f.Client.Source.Port(), masqueraded || f.ownSource), port):
		return fmt.Sprintf("source port %d is none to choose", port)
	}
	f.Target.Source = withAddr(f.Target.Source, source.Addr())
	if !tried(port, true) {
		return fmt.Sprintf("source port %d is taken", port)
	}
	return ""
}

// inPool says whether an address is one of several that a flow may have: any where the ports of
// its client's own are taken, which chance finds out.
func (m *Model) inPool(f *Flow, a netip.Addr) bool {
	return f.Forward != nil && slices.Contains(m.sourcePool(f.Forward, f.Target.Destination.Addr()), a)
}

// sourcePool are the host's addresses for the masqueraded clients of a forward, to targets of the
// family of an address.
func (m *Model) sourcePool(f *Forward, target netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(f.SourceAddresses), func(a netip.Addr) bool {
		return a.Is4() != target.Is4() || !m.Host.Owns(a)
	})
}

// sourcePorts are those from which a client gets one if not its own. It has one below
// 1024 if its own is, and one above otherwise (RFC 4787, REQ-3).
func (m *Model) sourcePorts(own uint16, masqueraded bool) maps.PortRange {
	switch {
	case own < 512:
		return maps.PortRange{First: 1, Last: 511}
	case own < 1024:
		return maps.PortRange{First: 600, Last: 1023}
	case masqueraded:
		return m.Host.Masquerade
	}
	return maps.PortRange{First: 1024, Last: 65535}
}

// mayKeep says whether a masqueraded client keeps a port: not where a socket of
// the host may have got it from the kernel.
func (m *Model) mayKeep(port uint16) bool { return !has(m.Host.Ephemeral, port) }

// hop is where the packets of one direction leave the host.
type hop struct {
	resolved time.Duration
	// generation is that of the routes when it was looked up.
	generation uint32
	device     string
	known      bool
	neighbour  [6]byte
	// receivedAt is the link-layer address that packets were sent to which XDP
	// serves.
	receivedAt [6]byte
}

func (m *Model) fresh(h *hop) bool {
	return h.device != "" && h.known && h.generation == m.RouteGeneration && m.now-h.resolved <= m.Timeouts.NextHop
}

// lookUp renews a next hop. It says whether the neighbour has been silent for too
// long.
func (m *Model) lookUp(h *hop, q Question) (silent bool, reason string) {
	if !m.Host.Router {
		return false, "forwarding-off"
	}
	route := m.Host.Route(q)
	if route.Device == "" {
		return false, "no-route"
	}
	waiting := h.device == route.Device && !h.known && !route.Known
	since := h.resolved
	*h = hop{resolved: m.now, generation: m.RouteGeneration, device: route.Device, known: route.Known, neighbour: route.Neighbour}
	if !waiting {
		return false, ""
	}
	if m.now-since > m.Timeouts.Neighbour {
		return true, ""
	}
	h.resolved = since
	return false, ""
}
