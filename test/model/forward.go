// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/maps"
)

// Forward is a frontend with its backends, as `xfwd add` makes it.
type Forward struct {
	// ID is by which the programs count its traffic.
	ID       uint32
	Protocol uint8
	// Address is the frontend's; the zero Addr is every address of the host.
	Address netip.Addr
	Ports   maps.PortRange
	// Devices are those that packets must come by; none means all.
	Devices  []string
	Balance  maps.Balance
	Affinity time.Duration
	// MSS is the most that ends of TCP connections may announce, as of maps.Terms.
	MSS uint16
	// AffinityGroup is the name of the forwards with which it shares the machine of a
	// client.
	AffinityGroup string
	// Backends are in their user's order; Gone are those that were its own, and
	// have flows which live on.
	Backends, Gone []*Backend
	// SourceAddresses are those of the host that masqueraded clients have, in the order of the
	// programs; without any, it is that of the backend.
	SourceAddresses []netip.Addr
	// Turn counts what was given out in turns.
	Turn uint32

	deleted bool
	// tables are the choices of each family's takers, once they were needed.
	tables [2][]uint32
}

// Backend is one of a forward's.
type Backend struct {
	// ID tells which one the programs have chosen.
	ID uint32
	// Place is where its user says that it is.
	Place string
	// Address is the zero Addr for the host itself, whatever the address that the
	// client used.
	Address  netip.Addr
	Ports    maps.PortRange
	Weight   uint16
	Draining bool
	// Source says whose address it sees, Masquerade what the host's address is for
	// it.
	Source     maps.BackendSource
	Masquerade netip.Addr

	gone bool
	// generation is raised to end its flows.
	generation int
}

func (b *Backend) serves(family int) bool {
	return !b.Address.IsValid() || b.Address.Is4() == (family == maps.IPv4)
}

func (b *Backend) takes() bool { return !b.Draining && b.Weight != 0 }

func has(r maps.PortRange, port uint16) bool { return r.First <= port && port <= r.Last }

// serves says whether the forward has anything to say of packets of a family: it
// has backends for it, or none at all.
func (f *Forward) serves(family int) bool {
	return len(f.Backends) == 0 || slices.ContainsFunc(f.Backends, func(b *Backend) bool { return b.serves(family) })
}

// takers are the backends that take new flows of a family.
func (f *Forward) takers(family int) []*Backend {
	var takers []*Backend
	for _, b := range f.Backends {
		if b.serves(family) && b.takes() {
			takers = append(takers, b)
		}
	}
	return takers
}

// targetPort is the port of a backend for one of the frontend: the same place in
// a range, or the one port that all go to.
func (f *Forward) targetPort(b *Backend, port uint16) uint16 {
	if b.Ports.First == b.Ports.Last {
		return b.Ports.First
	}
	return b.Ports.First + port - f.Ports.First
}

// frontend finds the forward of a destination that was reached by a device. An
// address beats none; then a device beats none; then a port beats a range.
func (m *Model) frontend(to netip.AddrPort, protocol uint8, device string) *Forward {
	var best *Forward
	bestRank := -1
	for _, f := range m.Forwards {
		if f.Protocol != protocol || !has(f.Ports, to.Port()) {
			continue
		}
		rank := 0
		if f.Address.IsValid() {
			if f.Address != to.Addr() {
				continue
			}
			rank += 4
		}
		if len(f.Devices) > 0 {
			if !slices.Contains(f.Devices, device) {
				continue
			}
			rank += 2
		}
		if f.Ports.First == f.Ports.Last {
			rank++
		}
		if rank > bestRank {
			best, bestRank = f, rank
		}
	}
	return best
}

// portUse is what a port is to somebody's forwards.
type portUse struct {
	// frontend: of one that is there; lingering: of one that was, and has flows.
	frontend, lingering bool
	// here and elsewhere: of a backend on the host, and of others; also of those
	// that are gone and have flows.
	here, elsewhere bool
}

func (u portUse) target() bool { return u.here || u.elsewhere }

func (m *Model) use(protocol uint8, port uint16) portUse {
	var u portUse
	for _, f := range slices.Concat(m.Forwards, m.Deleted) {
		if f.Protocol != protocol {
			continue
		}
		if has(f.Ports, port) {
			u.frontend = u.frontend || !f.deleted
			u.lingering = u.lingering || f.deleted
		}
		for _, b := range slices.Concat(f.Backends, f.Gone) {
			if has(b.Ports, port) {
				elsewhere := m.isElsewhere(b.Address)
				u.here, u.elsewhere = u.here || !elsewhere, u.elsewhere || elsewhere
			}
		}
	}
	return u
}

// isElsewhere says whether a backend with this address is not the host.
func (m *Model) isElsewhere(a netip.Addr) bool { return a.IsValid() && !m.Host.Owns(a) }

// isBackend says whether an address is that of a backend elsewhere.
func (m *Model) isBackend(a netip.Addr) bool {
	for _, f := range slices.Concat(m.Forwards, m.Deleted) {
		for _, b := range slices.Concat(f.Backends, f.Gone) {
			if b.Address == a && m.isElsewhere(a) {
				return true
			}
		}
	}
	return false
}

// seesClients says whether an address is that of a backend elsewhere to which
// clients come with their own addresses.
func (m *Model) seesClients(a netip.Addr) bool {
	for _, f := range slices.Concat(m.Forwards, m.Deleted) {
		for _, b := range slices.Concat(f.Backends, f.Gone) {
			if b.Address == a && m.isElsewhere(a) && b.Source != maps.BackendMasquerades {
				return true
			}
		}
	}
	return false
}
