// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/xfwd/xfwd/internal/maps"
)

// affinityKey is a client of a forward that has an affinity, or of a group of these.
type affinityKey struct {
	client  netip.Addr
	forward *Forward
	group   string
}

type affinity struct {
	used       time.Duration
	forward    *Forward
	backend    *Backend
	generation int
}

// stands says whether the backend still takes new flows.
func (a affinity) stands() bool {
	return !a.backend.gone && a.backend.takes() && a.backend.generation == a.generation
}

// choose returns the backend of a new flow, or nil if there is none. Of several
// that chance may choose it returns all.
func (m *Model) choose(f *Forward, t Tuple) []*Backend {
	if f.Affinity == 0 {
		return m.balance(f, t)
	}
	own := affinityKey{client: t.Source.Addr(), forward: f}
	group := affinityKey{client: t.Source.Addr(), group: f.AffinityGroup}
	if a, found := m.recall(group, f); found && f.AffinityGroup != "" {
		if b := f.atMachine(a); b != nil {
			m.stay(group, a)
			return []*Backend{b}
		}
	}
	chosen := []*Backend{}
	if a, found := m.recall(own, f); found && a.stands() {
		chosen = append(chosen, a.backend)
	} else {
		chosen = m.balance(f, t)
	}
	if len(chosen) > 1 {
		// By now it is noted, whatever becomes of the packet.
		id := m.chance.Affinity(f.ID, t.Source.Addr())
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(b *Backend) bool { return b.ID != id })
	}
	for _, b := range chosen {
		a := affinity{forward: f, backend: b, generation: b.generation}
		m.stay(own, a)
		if f.AffinityGroup != "" {
			m.stay(group, a)
		}
	}
	return chosen
}

// recall returns what a client stays with, if it has come in time.
func (m *Model) recall(key affinityKey, f *Forward) (affinity, bool) {
	a, found := m.affinities[key]
	return a, found && m.now-a.used <= f.Affinity
}

func (m *Model) stay(key affinityKey, a affinity) {
	a.used = m.now
	m.affinities[key] = a
}

// atMachine is the backend of the forward that a client of its group gets: the very one,
// or the first at its machine.
func (f *Forward) atMachine(a affinity) *Backend {
	if a.forward == f && a.stands() {
		return a.backend
	}
	i := slices.IndexFunc(f.Backends, func(b *Backend) bool { return b.Address == a.backend.Address && b.takes() })
	if i < 0 {
		return nil
	}
	return f.Backends[i]
}

// ForgetClient ends the affinity of a forward's client.
func (m *Model) ForgetClient(f *Forward, client netip.Addr) {
	delete(m.affinities, affinityKey{client: client, forward: f})
	delete(m.affinities, affinityKey{client: client, group: f.AffinityGroup})
}

// balance returns the backends that may get a new flow, by the forward's balance.
func (m *Model) balance(f *Forward, t Tuple) []*Backend {
	takers := f.takers(family(t.Destination.Addr()))
	if len(takers) < 2 {
		return takers
	}
	one := func(number uint32) []*Backend {
		table := f.table(family(t.Destination.Addr()), takers)
		return takers[table[number%uint32(len(table))]:][:1]
	}
	switch f.Balance {
	case maps.BalanceRoundRobin:
		f.Turn++
		return one(f.Turn - 1)
	case maps.BalanceLeastConnections:
		return m.leastLoaded(takers)
	case maps.BalanceMaglev:
		if f.Affinity == 0 {
			return one(maps.HashOfTuple(maps.Tuple(t)))
		}
		// Another host that knows nothing of the client chooses alike.
		fallthrough
	case maps.BalanceSourceHash:
		return one(maps.HashOfSource(t.Source.Addr()))
	}
	return takers // at random
}

// table is what a number chooses from: positions in takers.
func (f *Forward) table(family int, takers []*Backend) []uint32 {
	if f.tables[family] != nil {
		return f.tables[family]
	}
	members := make([]maps.Member, len(takers))
	for i, b := range takers {
		members[i] = maps.Member{Identity: f.identity(b), Weight: b.Weight}
	}
	if f.Balance == maps.BalanceRoundRobin {
		f.tables[family] = maps.Turns(members)
	} else {
		f.tables[family] = maps.MaglevTable(members)
	}
	return f.tables[family]
}

// identity is by what a table knows a backend: the machine, and its rank by port there.
func (f *Forward) identity(b *Backend) string {
	rank := 0
	for _, o := range f.Backends {
		if o.Address == b.Address && cmp.Or(cmp.Compare(o.Ports.First, b.Ports.First), cmp.Compare(o.Ports.Last, b.Ports.Last)) < 0 {
			rank++
		}
	}
	return maps.Identity(b.Address, rank)
}

// leastLoaded returns those with the fewest connections for their weight, the new
// one included.
func (m *Model) leastLoaded(takers []*Backend) []*Backend {
	var best []*Backend
	less := func(a, b *Backend) bool {
		return (m.Connections(a)+1)*int(b.Weight) < (m.Connections(b)+1)*int(a.Weight)
	}
	for _, b := range takers {
		switch {
		case len(best) > 0 && less(best[0], b):
		case len(best) > 0 && !less(b, best[0]):
			best = append(best, b)
		default:
			best = []*Backend{b}
		}
	}
	return best
}

// Connections is how many a backend has whose forward balances by them.
func (m *Model) Connections(b *Backend) int {
	count := 0
	for _, f := range m.Flows() {
		if f.Backend == b && f.generation == b.generation && f.counted && !f.closed() {
			count++
		}
	}
	return count
}
