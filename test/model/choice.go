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
	own, group := f.affinityKeys(t.Source.Addr())
	if b := m.recall(group, f); b != nil {
		return []*Backend{b}
	}
	known := m.recall(own, f)
	chosen := []*Backend{known}
	if known == nil {
		chosen = m.balance(f, t)
	}
	if len(chosen) > 1 {
		// By now it is noted, whatever becomes of the packet.
		id := m.chance.Affinity(f.ID, t.Source.Addr())
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(b *Backend) bool { return b.ID != id })
	}
	all := m.newAffinities
	if t.Source.Addr() == netip.IPv6Unspecified() {
		all = m.affinities // as the host's own connections
	}
	for _, b := range chosen {
		a := affinity{used: m.now, forward: f, backend: b, generation: b.generation}
		if known == nil {
			all[own] = a
		}
		if !group.isNone() {
			all[group] = a
		}
	}
	return chosen
}

// affinityKeys are those of a forward's client, and of that as a client of the group.
func (f *Forward) affinityKeys(client netip.Addr) (own, group affinityKey) {
	return affinityKey{client: client, forward: f}, affinityKey{client: client, group: f.AffinityGroup}
}

// confirm is to be called when a client has confirmed a flow: it stays with the flow's
// backend, unless it has another one to stay with.
func (m *Model) confirm(f *Flow) {
	a := affinity{used: m.now, forward: f.Forward, backend: f.Backend, generation: f.generation}
	if f.Forward == nil || f.Forward.Affinity == 0 || !a.stands() {
		return
	}
	own, group := f.Forward.affinityKeys(f.Client.Source.Addr())
	for _, key := range []affinityKey{own, group} {
		if key.isNone() || m.recallFrom(m.affinities, key, f.Forward) != nil {
			continue
		}
		m.affinities[key] = a
		delete(m.newAffinities, key)
	}
}

// isNone says of the key of a group that there is none.
func (k affinityKey) isNone() bool { return k.forward == nil && k.group == "" }

// recall returns the backend of a forward that a client stays with, if it has come in
// time, or nil.
func (m *Model) recall(key affinityKey, f *Forward) *Backend {
	if b := m.recallFrom(m.affinities, key, f); b != nil {
		return b
	}
	return m.recallFrom(m.newAffinities, key, f)
}

func (m *Model) recallFrom(all map[affinityKey]affinity, key affinityKey, f *Forward) *Backend {
	a, found := all[key]
	if !found || m.now-a.used > f.Affinity {
		return nil
	}
	var b *Backend
	if key.group != "" {
		b = f.atMachine(a)
	} else if a.stands() {
		b = a.backend
	}
	if b != nil {
		a.used = m.now
		all[key] = a
	}
	return b
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

// Flood is to be called when forged packets have pushed out what was not confirmed.
func (m *Model) Flood() { clear(m.newAffinities) }

// Affinities are the backends that clients of a forward stay with: of those that have
// confirmed a flow, and of all others.
func (m *Model) Affinities(f *Forward) [2]map[netip.Addr]*Backend {
	var both [2]map[netip.Addr]*Backend
	for i, all := range []map[affinityKey]affinity{m.affinities, m.newAffinities} {
		both[i] = make(map[netip.Addr]*Backend)
		for key, a := range all {
			if key.forward == f && !a.backend.gone && a.backend.generation == a.generation {
				both[i][key.client] = a.backend
			}
		}
	}
	return both
}

// ForgetClient ends the affinity of a forward's client.
func (m *Model) ForgetClient(f *Forward, client netip.Addr) {
	own, group := f.affinityKeys(client)
	for _, all := range []map[affinityKey]affinity{m.affinities, m.newAffinities} {
		delete(all, own)
		delete(all, group)
	}
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
