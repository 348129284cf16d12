// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// taker is a backend that takes new flows.
type taker struct {
	id     uint32
	member maps.Member
}

// choice is the pool that these takers have.
type choice struct {
	takers []taker
	pool   maps.Pool
}

// pools returns the pools of a forward in the next epoch, and drafts the tables
// that they need. A family whose takers are those of the other family, or were
// those of either before, shares their pool.
func (t *transaction) pools(k maps.Forward, old []backend) (maps.Pools, error) {
	members := t.after.members(k)
	var known []choice
	for family, pool := range k.Before.Pools {
		if len(old) > 0 {
			known = append(known, choice{t.before.takers(old, family), pool})
		}
	}
	var pools maps.Pools
	for family := range pools {
		takers := t.after.takers(members, family)
		i := slices.IndexFunc(known, func(c choice) bool { return slices.Equal(c.takers, takers) })
		if i < 0 {
			pool, err := t.pool(k.Balance, takers)
			if err != nil {
				return pools, err
			}
			i = len(known)
			known = append(known, choice{takers, pool})
		}
		pools[family] = known[i].pool
		pools[family].Serves = len(members) == 0 || slices.ContainsFunc(members, func(b backend) bool { return inFamily(b, family) })
	}
	return pools, nil
}

// takers returns those of a forward's backends that take new flows of a family.
func (s *state) takers(members []backend, family int) []taker {
	var takers []taker
	ranks := ranks(members)
	for _, b := range members {
		role := s.role(b)
		if role.Serves() == maps.BackendActive && inFamily(b, family) {
			identity := maps.Identity(b.Address, ranks[b.ID])
			takers = append(takers, taker{b.ID, maps.Member{Identity: identity, Weight: role.Weight}})
		}
	}
	return takers
}

// ranks returns the rank of each backend of a forward, by id: how many others with its address have lower ports. Backends
// that take no new flows count, so that the others keep their ranks when one is drained.
func ranks(members []backend) map[uint32]int {
	sorted := slices.SortedFunc(slices.Values(members), func(a, b backend) int {
		return cmp.Or(cmp.Compare(a.PortFirst, b.PortFirst), cmp.Compare(a.PortLast, b.PortLast))
	})
	ranks := make(map[uint32]int, len(members))
	count := make(map[netip.Addr]int, len(members))
	for _, b := range sorted {
		ranks[b.ID] = count[b.Address]
		count[b.Address]++
	}
	return ranks
}

// inFamily says whether a backend serves packets of a family. This host itself
// serves those of both.
func inFamily(b backend, family int) bool {
	return !b.Address.IsValid() || b.Address.Is4() == (family == maps.IPv4)
}

// pool returns a pool of these takers, and drafts its table if it needs one.
func (t *transaction) pool(balance maps.Balance, takers []taker) (maps.Pool, error) {
	switch len(takers) {
	case 0:
		return maps.Pool{}, nil
	case 1:
		return maps.Pool{Backend: takers[0].id}, nil
	}
	key, err := freeID(t.tables, &t.lastTable, uint32(maps.MaxTables), "forwards with several backends")
	if err != nil {
		return maps.Pool{}, err
	}
	table := tableOf(balance, takers)
	t.tables[key], t.draft.tables[key] = true, table
	return maps.Pool{Table: key, Size: uint32(len(table))}, nil
}

// tableOf returns the table of ids from which a balance chooses.
func tableOf(balance maps.Balance, takers []taker) []uint32 {
	members := make([]maps.Member, len(takers))
	for i, taker := range takers {
		members[i] = taker.member
	}
	var table []uint32
	switch balance {
	case maps.BalanceRoundRobin:
		table = maps.Turns(members)
	case maps.BalanceLeastConnections:
		// The programs weigh them.
		for i := range members {
			table = append(table, uint32(i))
		}
	default:
		table = maps.MaglevTable(members)
	}
	for i, position := range table {
		table[i] = takers[position].id
	}
	return table
}
