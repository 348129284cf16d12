// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"
	"testing"

	"github.com/xfwd/xfwd/internal/maps"
)

// poolsOf returns the pools that a forward gets when the backends `now` come in
// place of `before`, what the first pools were, and the tables of both.
func poolsOf(t *testing.T, balance maps.Balance, before, now []string) (first, second maps.Pools, tables map[uint32][]uint32) {
	t.Helper()
	tx := &transaction{before: newState(7), tables: map[uint32]bool{}, draft: draft{tables: map[uint32][]uint32{}}}
	tx.after = tx.before
	k := maps.Forward{ID: 1, Dies: maps.NeverDies, Balance: balance}
	fill := func(s *state, words []string) {
		s.all[k.ID] = k
		for position, word := range words {
			b, err := ParseBackend(word)
			if err != nil {
				t.Fatal(err)
			}
			// The same words are the same backend: its port is its id.
			id := uint32(b.Ports.First)
			role := roleToKernel(b, position)
			s.put(backend{
				maps.Backend{ID: id, Address: b.Address, PortFirst: b.Ports.First, PortLast: b.Ports.Last},
				maps.BackendInfo{Backend: id, Forward: k.ID, Before: role, After: role},
			})
		}
	}
	pools := func(old []backend) maps.Pools {
		pools, err := tx.pools(k, old)
		if err != nil {
			t.Fatal(err)
		}
		return pools
	}
	fill(tx.before, before)
	first = pools(nil)
	k.Before.Pools = first
	tx.after = newState(8)
	fill(tx.after, now)
	return first, pools(tx.before.members(k)), tx.draft.tables
}

func TestPools(t *testing.T) {
	none, refused := maps.Pool{}, maps.Pool{Serves: true}
	only := func(id uint32) maps.Pool { return maps.Pool{Backend: id, Serves: true} }
	table := func(key, size uint32) maps.Pool { return maps.Pool{Table: key, Size: size, Serves: true} }
	for _, c := range []struct {
		name     string
		backends []string
		want     maps.Pools
	}{
		{"none", nil, maps.Pools{refused, refused}},
		{"this host", []string{"1"}, maps.Pools{only(1), only(1)}},
		{"one of IPv4", []string{"192.0.2.1:1"}, maps.Pools{only(1), none}},
		{"one of IPv6", []string{"[2001:db8::1]:1"}, maps.Pools{none, only(1)}},
		{"one of each", []string{"192.0.2.1:1", "[2001:db8::1]:2"}, maps.Pools{only(1), only(2)}},
		{"two of both share a table", []string{"1", "2"}, maps.Pools{table(1, 2), table(1, 2)}},
		{"two of IPv4", []string{"192.0.2.1:1", "192.0.2.2:2"}, maps.Pools{table(1, 2), none}},
		{"this host besides", []string{"192.0.2.1:1", "2"}, maps.Pools{table(1, 2), only(2)}},
		{"two of each", []string{"192.0.2.1:1", "192.0.2.2:2", "[2001:db8::1]:3", "[2001:db8::2]:4"}, maps.Pools{table(1, 2), table(2, 2)}},
		{"draining", []string{"192.0.2.1:1,state=draining"}, maps.Pools{refused, none}},
		{"weight zero", []string{"1,weight=0", "2"}, maps.Pools{only(2), only(2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _, _ := poolsOf(t, maps.BalanceRoundRobin, c.backends, nil); got != c.want {
				t.Errorf("pools are %+v, want %+v", got, c.want)
			}
			// Whatever was before, the same comes out, but for the numbers of tables.
			_, got, _ := poolsOf(t, maps.BalanceRoundRobin, []string{"8", "192.0.2.1:9"}, c.backends)
			for family := range got {
				got[family].Table = min(got[family].Table, 1)
				c.want[family].Table = min(c.want[family].Table, 1)
			}
			if got != c.want {
				t.Errorf("after a change pools are %+v, want %+v", got, c.want)
			}
		})
	}
}

// To make a table takes time, so none is made for the same backends.
func TestPoolsAreKept(t *testing.T) {
	for _, c := range []struct {
		name        string
		before, now []string
		kept        bool
	}{
		{"one that drains goes", []string{"1", "2", "3,state=draining"}, []string{"1", "2"}, true},
		{"one that drains comes", []string{"1", "2"}, []string{"1", "2", "3,weight=0"}, true},
		{"one goes", []string{"1", "2", "3"}, []string{"1", "2"}, false},
		{"one comes", []string{"1", "2"}, []string{"1", "2", "3"}, false},
		{"one drains", []string{"1", "2", "3"}, []string{"1", "2", "3,state=draining"}, false},
		{"one gets another weight", []string{"1", "2"}, []string{"1,weight=2", "2"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second, tables := poolsOf(t, maps.BalanceMaglev, c.before, c.now)
			if (first == second) != c.kept {
				t.Errorf("pools were %+v and are %+v", first, second)
			}
			if made := len(tables) == 2; made == c.kept {
				t.Errorf("%d tables are made", len(tables))
			}
		})
	}
}

func TestTables(t *testing.T) {
	backends := []string{"192.0.2.1:10,weight=3", "192.0.2.2:20", "192.0.2.3:30,weight=2"}
	turned := []string{backends[2], backends[0], backends[1]}
	count := func(table []uint32, id uint32) (n int) {
		for _, entry := range table {
			if entry == id {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		balance maps.Balance
		size    int
		// weighted: the table has each as often as its weight wants. alike: it does
		// not depend on the user's order.
		weighted, alike bool
	}{
		{maps.BalanceMaglev, 16381, true, true},
		{maps.BalanceSourceHash, 16381, true, true},
		{maps.BalanceRandom, 16381, true, true},
		{maps.BalanceRoundRobin, 6, true, false},
		{maps.BalanceLeastConnections, 3, false, false},
	} {
		pools, otherPools, tables := poolsOf(t, c.balance, backends, turned)
		table := tables[pools[maps.IPv4].Table]
		if len(table) != c.size {
			t.Errorf("balance %d: the table has %d entries, want %d", c.balance, len(table), c.size)
			continue
		}
		ten, twenty, thirty := count(table, 10), count(table, 20), count(table, 30)
		if ten+twenty+thirty != len(table) {
			t.Errorf("balance %d: ids that no backend has: %v", c.balance, table)
		}
		if weighted := ten/twenty == 3 || (ten+1)/twenty == 3; weighted != c.weighted {
			t.Errorf("balance %d: %d, %d and %d entries", c.balance, ten, twenty, thirty)
		}
		if c.alike && !slices.Equal(table, tables[otherPools[maps.IPv4].Table]) {
			t.Errorf("balance %d: in another order the table is another", c.balance)
		}
	}
}

// machines returns the addresses of the backends in a table, which has their ids, by the
// last byte of theirs.
func machines(t *testing.T, balance maps.Balance, backends ...string) []string {
	t.Helper()
	_, _, tables := poolsOf(t, balance, nil, backends)
	if len(tables) != 1 {
		t.Fatalf("%v have %d tables", backends, len(tables))
	}
	addresses := map[uint32]string{}
	for _, word := range backends {
		b, err := ParseBackend(word)
		if err != nil {
			t.Fatal(err)
		}
		addresses[uint32(b.Ports.First)] = b.Address.String()
	}
	var machines []string
	for _, table := range tables {
		for _, id := range table {
			machines = append(machines, addresses[id])
		}
	}
	return machines
}

// Two forwards to other ports of the same machines choose the same machine by the same
// number, in whatever order their users name them.
func TestTablesKnowMachines(t *testing.T) {
	web := machines(t, maps.BalanceMaglev, "192.0.2.1:8080", "192.0.2.2:8081", "192.0.2.3:8082")
	for name, other := range map[string][]string{
		"another port":           machines(t, maps.BalanceMaglev, "192.0.2.1:8443", "192.0.2.2:8444", "192.0.2.3:8445"),
		"another order":          machines(t, maps.BalanceMaglev, "192.0.2.3:9001", "192.0.2.1:9003", "192.0.2.2:9002"),
		"another balance":        machines(t, maps.BalanceSourceHash, "192.0.2.2:1", "192.0.2.3:2", "192.0.2.1:3"),
		"one that drains beside": machines(t, maps.BalanceMaglev, "192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3", "192.0.2.4:4,state=draining"),
	} {
		if !slices.Equal(web, other) {
			t.Errorf("%s: the tables differ", name)
		}
	}
	if slices.Equal(web, machines(t, maps.BalanceMaglev, "192.0.2.1:8080", "192.0.2.2:8081", "192.0.2.4:8082")) {
		t.Error("the tables do not depend on the machines")
	}
}

// Several backends of one machine are told apart by their ports, and one that drains
// leaves the others their flows.
func TestTablesTellPortsApart(t *testing.T) {
	for _, address := range []string{"192.0.2.1:", ""} {
		words := []string{address + "10", address + "20", address + "30"}
		_, _, tables := poolsOf(t, maps.BalanceMaglev, nil, words)
		before := tables[1]
		if drawn := slices.Compact(slices.Sorted(slices.Values(before))); len(drawn) != 3 {
			t.Errorf("%v: the table has %v", words, drawn)
		}
		words[0] += ",state=draining"
		_, _, tables = poolsOf(t, maps.BalanceMaglev, nil, words)
		moved := 0
		for i, id := range tables[1] {
			if before[i] != 10 && before[i] != id {
				moved++
			}
		}
		if moved > len(before)/50 {
			t.Errorf("%v: %d of %d entries have moved from the backends that stay", words, moved, len(before))
		}
	}
}
