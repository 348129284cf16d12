// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
)

// frontendIndex finds the forwards whose frontends have some ports, without comparing
// with each.
type frontendIndex struct {
	byProtocol map[Protocol][]indexedForward
}

// indexedForward is a forward, in the order of first ports.
type indexedForward struct {
	*Forward
	// highest is the last port that this forward, or one before it, has.
	highest uint16
}

func newFrontendIndex(forwards []Forward) *frontendIndex {
	x := &frontendIndex{byProtocol: make(map[Protocol][]indexedForward)}
	for i := range forwards {
		p := forwards[i].Frontend.Protocol
		x.byProtocol[p] = append(x.byProtocol[p], indexedForward{Forward: &forwards[i]})
	}
	for _, sorted := range x.byProtocol {
		slices.SortStableFunc(sorted, func(a, b indexedForward) int { return a.Frontend.Ports.Compare(b.Frontend.Ports) })
		highest := uint16(0)
		for i := range sorted {
			highest = max(highest, sorted[i].Frontend.Ports.Last)
			sorted[i].highest = highest
		}
	}
	return x
}

// covering returns another forward whose frontend is where a backend of this host is.
func (x *frontendIndex) covering(host *loader.Host, t target) (Forward, bool) {
	sorted := x.byProtocol[t.forward.Frontend.Protocol]
	ports := t.backend.Ports
	behind, _ := slices.BinarySearchFunc(sorted, ports.Last, func(f indexedForward, last uint16) int {
		return cmp.Or(cmp.Compare(f.Frontend.Ports.First, last), -1) // one that begins there is before it
	})
	for i := behind - 1; i >= 0 && sorted[i].highest >= ports.First; i-- {
		f := sorted[i].Forward
		if f.Frontend.Ports.Overlaps(ports) && !f.Frontend.Equal(t.forward.Frontend) && f.Frontend.meets(host, t.backend) {
			return *f, true
		}
	}
	return Forward{}, false
}

// meets says whether the frontend has an address that a backend of this host may have.
func (f Frontend) meets(host *loader.Host, b Backend) bool {
	switch {
	case !f.Address.IsValid():
		return true
	case b.Address.IsValid():
		return f.Address == b.Address
	default:
		return host.HasAddress(f.Address)
	}
}
