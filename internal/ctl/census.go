// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// census counts live flows.
type census struct {
	// Those of a forward may be more than those of its backends: the rest are
	// of backends that are gone.
	ofForward, ofBackend map[uint32]uint64
	// table counts all that are in the flow table, direct clients' too.
	table FlowTable
}

func newCensus() *census {
	return &census{ofForward: make(map[uint32]uint64), ofBackend: make(map[uint32]uint64)}
}

func (c *census) count(f maps.Flow) {
	c.table.count(f)
	if isActive(f) {
		c.ofForward[f.Forward]++
		c.ofBackend[f.Backend]++
	}
}

func (t *FlowTable) count(f maps.Flow) {
	switch {
	case f.Expired():
	case f.Established:
		t.Established++
	default:
		t.Transitory++
	}
}

// forwards returns every forward with its counters, those that have been counted
// and those that the dataplane has.
func (c *census) forwards(d *loader.Dataplane, s *state) ([]ForwardCounters, error) {
	drops, err := d.Maps.Drops()
	if err != nil {
		return nil, err
	}
	var result []ForwardCounters
	for _, k := range s.alive() {
		counters, err := d.Maps.Counters(k.ID)
		if err != nil {
			return nil, err
		}
		forward := ForwardCounters{Forward: s.forward(k), Counters: Counters{
			Forward:     Traffic{Packets: counters.ForwardPackets, Bytes: counters.ForwardBytes},
			Reverse:     Traffic{Packets: counters.ReversePackets, Bytes: counters.ReverseBytes},
			Connections: Connections{Opened: counters.Opened, Active: c.ofForward[k.ID]},
			Drops:       drops[k.ID],
		}}
		for _, b := range s.members(k) {
			use := BackendUse{Active: c.ofBackend[b.ID]}
			if b.Source == maps.BackendMasquerades {
				use.Masqueraded, use.MasqueradeAddress = true, b.Masquerade
			}
			forward.Uses = append(forward.Uses, use)
		}
		result = append(result, forward)
	}
	slices.SortStableFunc(result, func(a, b ForwardCounters) int { return a.Frontend.Compare(b.Frontend) })
	return result, nil
}

// isActive says whether a flow counts as an active connection: a TCP connection
// that has been accepted and is not closed, or a UDP flow that has not timed out.
func isActive(f maps.Flow) bool {
	if f.Closed() || f.Expired() {
		return false
	}
	return f.Client.Protocol == uint8(UDP) || f.Answered
}
