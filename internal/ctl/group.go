// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"hash/fnv"
	"net/netip"

	"github.com/xfwd/xfwd/internal/maps"
)

// groupID returns the number of an affinity group: that of the forwards which are in it
// already, or one that no other group has. It is made of the name, so that a group which
// comes again finds what its clients had.
func (s *state) groupID(name string) uint32 {
	if name == "" {
		return 0
	}
	taken := make(map[uint32]bool)
	for _, k := range s.all {
		if k.AffinityGroup == name {
			return k.AffinityGroupID
		}
		taken[k.AffinityGroupID] = true
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	id := h.Sum32() % maps.MaxAffinityGroup
	for id == 0 || taken[id] {
		id = (id + 1) % maps.MaxAffinityGroup
	}
	return id
}

// groupBackends returns the backends by which the forwards of groups serve the clients of
// each machine: the first that takes new flows. A forward that lives in several of the
// states has those of the first. What a change brings takes part when it has taken place.
func groupBackends(states []*state) []maps.GroupBackend {
	var all []maps.GroupBackend
	known := make(map[uint32]bool)
	for _, s := range states {
		for _, k := range s.alive() {
			if k.AffinityGroup == "" || known[k.ID] {
				continue
			}
			known[k.ID] = true
			all = append(all, s.groupBackends(k)...)
		}
	}
	return all
}

func (s *state) groupBackends(k maps.Forward) []maps.GroupBackend {
	var all []maps.GroupBackend
	known := make(map[netip.Addr]bool)
	for _, b := range s.members(k) {
		if s.role(b).Serves() == maps.BackendActive && !known[b.Address] {
			known[b.Address] = true
			all = append(all, maps.GroupBackend{Forward: k.ID, Machine: b.Address, Backend: b.ID, Generation: b.Generation})
		}
	}
	return all
}
