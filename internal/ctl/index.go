// SPDX-License-Identifier: Apache-2.0

package ctl

import "net/netip"

// index finds the forwards of a set that cannot stand beside another one,
// without comparing with each.
type index struct {
	forwards []Forward
	// singles and ranges are positions in forwards.
	singles map[singleKey][]int
	ranges  map[rangeKey][]int
	names   map[string][]int
}

type singleKey struct {
	rangeKey
	port uint16
}

type rangeKey struct {
	protocol Protocol
	address  netip.Addr
}

func newIndex() *index {
	return &index{
		singles: map[singleKey][]int{},
		ranges:  map[rangeKey][]int{},
		names:   map[string][]int{},
	}
}

// add puts a forward into the set.
func (x *index) add(f Forward) {
	i := len(x.forwards)
	x.forwards = append(x.forwards, f)
	place := rangeKey{f.Frontend.Protocol, f.Frontend.Address}
	if f.Frontend.Ports.Single() {
		key := singleKey{place, f.Frontend.Ports.First}
		x.singles[key] = append(x.singles[key], i)
	} else {
		x.ranges[place] = append(x.ranges[place], i)
	}
	if f.Name != "" {
		x.names[f.Name] = append(x.names[f.Name], i)
	}
}

// rival returns the position of the first forward of the set that cannot stand
// beside f: its frontend conflicts, or it has f's name and cannot be of one
// entry with f.
func (x *index) rival(f Forward) (position int, found bool) {
	place := rangeKey{f.Frontend.Protocol, f.Frontend.Address}
	candidates := x.ranges[place]
	if f.Frontend.Ports.Single() {
		candidates = x.singles[singleKey{place, f.Frontend.Ports.First}]
	}
	for _, i := range candidates {
		if x.forwards[i].Frontend.Conflicts(f.Frontend) {
			return i, true
		}
	}
	if f.Name == "" {
		return 0, false
	}
	for _, i := range x.names[f.Name] {
		if !x.forwards[i].Frontend.samePlace(f.Frontend) {
			return i, true
		}
	}
	return 0, false
}
