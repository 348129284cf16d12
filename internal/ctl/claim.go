// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
)

// claim is what a frontend has of one device: the packets that arrive there for its ports.
type claim struct {
	place   claimPlace
	ifindex int
	ports   PortRange
	// rank says how specific the word is by which the frontend means the device.
	rank int
	// owner is the position of the frontend among those that were given.
	owner int
	// word is that word.
	word string
}

// claimPlace is where claims with the same device and ports meet.
type claimPlace struct {
	protocol Protocol
	address  netip.Addr
	single   bool
}

// byName is the rank of a name. That of a pattern is the length of its prefix.
const byName = math.MaxInt

// claimsOf returns what a frontend with devices has of each device that is there now, once
// for each device.
func claimsOf(devices *loader.Devices, owner int, f Frontend) []claim {
	best := make(map[int]claim)
	for _, word := range f.Devices {
		prefix, isPattern := pattern(word)
		rank := len(prefix)
		if !isPattern {
			rank = byName
		}
		for _, ifindex := range devicesOf(devices, word) {
			if other, has := best[ifindex]; !has || other.rank < rank {
				best[ifindex] = claim{claimPlace{f.Protocol, f.Address, f.Ports.Single()}, ifindex, f.Ports, rank, owner, word}
			}
		}
	}
	claims := make([]claim, 0, len(best))
	for _, c := range best {
		claims = append(claims, c)
	}
	return claims
}

// settleClaims returns the claims that hold, and those that do not, each with one that holds
// and has the same packets. The most specific holds, and of two that are as specific
// that of the frontend that comes first.
func settleClaims(claims []claim) (hold []claim, lose [][2]claim) {
	type group struct {
		place   claimPlace
		ifindex int
	}
	groups := make(map[group][]claim)
	for _, c := range claims {
		g := group{c.place, c.ifindex}
		groups[g] = append(groups[g], c)
	}
	for _, of := range groups {
		if !anyOverlap(of) {
			hold = append(hold, of...)
			continue
		}
		slices.SortFunc(of, func(a, b claim) int { return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.owner, b.owner)) })
		var held []claim
		for _, c := range of {
			rival := slices.IndexFunc(held, func(h claim) bool { return h.ports.Overlaps(c.ports) })
			if rival < 0 {
				held = append(held, c)
			} else {
				lose = append(lose, [2]claim{c, held[rival]})
			}
		}
		hold = append(hold, held...)
	}
	slices.SortFunc(lose, func(a, b [2]claim) int {
		return cmp.Or(cmp.Compare(a[0].owner, b[0].owner), cmp.Compare(a[0].ifindex, b[0].ifindex))
	})
	return hold, lose
}

// anyOverlap says whether two of some claims have a port in common. It sorts them.
func anyOverlap(claims []claim) bool {
	slices.SortFunc(claims, func(a, b claim) int { return a.ports.Compare(b.ports) })
	for i := 1; i < len(claims); i++ {
		if claims[i].ports.First <= claims[i-1].ports.Last {
			return true
		}
	}
	return false
}

// checkClaims refuses new forwards that have the same packets of a device as another
// forward, by another name of that device or by a pattern for other ports.
func checkClaims(devices *loader.Devices, want, added []Forward) error {
	isNew := make(map[frontendKey]bool)
	for _, f := range added {
		if len(f.Frontend.Devices) > 0 {
			isNew[f.Frontend.key()] = true
		}
	}
	if len(isNew) == 0 {
		return nil
	}
	var claims []claim
	for i, f := range want {
		if len(f.Frontend.Devices) == 0 {
			continue
		}
		claims = append(claims, claimsOf(devices, i, f.Frontend)...)
	}
	_, lose := settleClaims(claims)
	for _, pair := range lose {
		loser, winner := want[pair[0].owner], want[pair[1].owner]
		if !isNew[loser.Frontend.key()] && !isNew[winner.Frontend.key()] {
			continue
		}
		fresh, other, word, otherWord := winner, loser, pair[1].word, pair[0].word
		if isNew[loser.Frontend.key()] {
			fresh, other, word, otherWord = loser, winner, pair[0].word, pair[1].word
		}
		switch {
		case pair[0].rank == pair[1].rank:
			return Errorf(ErrConflict, "%s and %s cannot both be: %s and %s are names of one device; write --device %s",
				other, fresh, otherWord, word, otherWord)
		case pair[0].ports != pair[1].ports:
			return Errorf(ErrConflict, "%s overlaps %s on a device that is %s and %s; give each port to one",
				fresh.Frontend.Label(), other.Frontend.Label(), word, otherWord)
		}
	}
	return nil
}

// lostDeviceWarnings says which forwards have nothing on a device because another one has
// its packets by another name of that device, which it got after both were added.
func lostDeviceWarnings(host *loader.Host, s *state) []string {
	var warnings messages
	bound := s.bound()
	frontend := func(owner int) Frontend { return forwardFromKernel(bound[owner], bound[owner].Terms(s.epoch)).Frontend }
	var claims []claim
	for i := range bound {
		claims = append(claims, claimsOf(&host.Devices, i, frontend(i))...)
	}
	_, lose := settleClaims(claims)
	for _, pair := range lose {
		if pair[0].rank == pair[1].rank || pair[0].ports != pair[1].ports {
			warnings.add("%s has no packets of %s: they are for %s, which means the same device; delete one of them",
				frontend(pair[0].owner).Label(), pair[0].word, frontend(pair[1].owner).Label())
		}
	}
	return warnings.most("devices")
}
