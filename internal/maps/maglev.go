// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
)

// Sizes of Maglev tables. They are prime, so that every step through a table
// visits all of its entries.
const (
	maglevSize      = 16381
	maglevLargeSize = 65537
	// maglevFew is how many members the smaller table has room for: with more,
	// one entry more or less is a percent of a member's share.
	maglevFew = 150
)

// Member is something that a table of backends gives new flows to.
type Member struct {
	// Identity tells members apart, here and on other machines; see Identity.
	Identity string
	// Weight is its share, in proportion to those of the others; not zero.
	Weight uint16
}

// Identity is that of a backend among the others of its forward: its address, and its rank by port among those with
// this address. It leaves the ports out, so that a client of two ports of the same machines reaches the same one by
// both, where the hash is of the client's address. The zero Addr is this host.
func Identity(address netip.Addr, rank int) string {
	identity := "this host"
	if address.IsValid() {
		identity = address.String()
	}
	if rank > 0 {
		identity += "#" + strconv.Itoa(rank)
	}
	return identity
}

// MaglevTable returns a table whose entries are positions in members, each as
// often as its weight wants, and every one at least once. It follows Eisenbud
// et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI
// 2016): who has which entry hardly changes when a member comes or goes.
//
// The table depends on the set of members only: the same set in any order, on
// any machine and in any version of xfwd makes the same choice of identities.
func MaglevTable(members []Member) []uint32 {
	if len(members) == 0 {
		return nil
	}
	size := uint64(maglevSize)
	if len(members) > maglevFew {
		size = maglevLargeSize
	}
	walks := make([]maglevWalk, len(members))
	heaviest := 0
	for i, m := range members {
		walks[i] = newMaglevWalk(m, i, size)
		heaviest = max(heaviest, int(m.Weight))
	}
	slices.SortFunc(walks, func(a, b maglevWalk) int { return cmp.Compare(a.Identity, b.Identity) })
	for i := range walks {
		walks[i].credit = heaviest
	}
	table := make([]uint32, size)
	taken := make([]bool, size)
	for left := size; ; {
		for i := range walks {
			w := &walks[i]
			// In each round the heaviest takes an entry, and the others do in
			// as many rounds as their weight is of its.
			if w.credit < heaviest {
				w.credit += int(w.Weight)
				continue
			}
			w.credit += int(w.Weight) - heaviest
			for taken[w.next] {
				w.next = (w.next + w.step) % size
			}
			taken[w.next] = true
			table[w.next] = w.position
			if left--; left == 0 {
				return table
			}
		}
	}
}

// maglevWalk is the order in which a member wants the entries of a table.
type maglevWalk struct {
	Member
	position   uint32
	next, step uint64
	credit     int
}

func newMaglevWalk(m Member, position int, size uint64) maglevWalk {
	h := fnv.New64a()
	h.Write([]byte(m.Identity))
	sum := h.Sum64()
	return maglevWalk{
		Member:   m,
		position: uint32(position),
		next:     mix64(sum) % size,
		step:     mix64(sum+1)%(size-1) + 1,
	}
}

// mix64 is the finalizer of MurmurHash3, which is in the public domain.
func mix64(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
