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
	setup, err := d.Maps.SetupTimes()
	if err != nil {
		return nil, err
	}
	ofForward, err := d.Maps.Counters(last(s.all))
	if err != nil {
		return nil, err
	}
	ofBackend, err := d.Maps.BackendCounters(last(s.backends))
	if err != nil {
		return nil, err
	}
	var result []ForwardCounters
	for _, k := range s.valid() {
		counted := ofForward[k.ID]
		forward := ForwardCounters{Forward: s.forward(k), Setup: setup[k.ID]}
		forward.Counters.Forward, forward.Counters.Reverse = traffic(counted)
		forward.Counters.Connections = Connections{Opened: counted.Opened, Active: c.ofForward[k.ID]}
		forward.Counters.Drops = drops[k.ID]
		for _, b := range s.members(k) {
			counted := ofBackend[b.ID]
			use := BackendUse{Connections: Connections{Opened: counted.Opened, Active: c.ofBackend[b.ID]}}
			use.Forward, use.Reverse = traffic(counted)
			if b.Source == maps.BackendMasquerades {
				use.Masqueraded, use.MasqueradeAddress = true, b.Masquerade
				use.SourcePool = ofFamily(k.SourceAddresses, b.Address.Is4())
			}
			forward.Uses = append(forward.Uses, use)
		}
		result = append(result, forward)
	}
	slices.SortStableFunc(result, func(a, b ForwardCounters) int { return a.Frontend.Compare(b.Frontend) })
	return result, nil
}

func traffic(c maps.Counters) (forward, reverse Traffic) {
	return Traffic{Packets: c.ForwardPackets, Bytes: c.ForwardBytes}, Traffic{Packets: c.ReversePackets, Bytes: c.ReverseBytes}
}

// describe reads what the dataplane knows of the table beside its entries.
func (t *FlowTable) describe(d *loader.Dataplane) error {
	t.MaxFlows = d.Settings.MaxFlows
	evicted, err := d.Maps.Evicted()
	t.Evicted = Evicted{Established: evicted[maps.Established], Transitory: evicted[maps.Transitory]}
	return err
}

// isActive says whether a flow counts as an active connection: a TCP connection
// that has been accepted and is not closed, or a UDP flow that has not timed out.
func isActive(f maps.Flow) bool {
	if f.Closed() || f.Expired() {
		return false
	}
	return f.Client.Protocol == uint8(UDP) || f.Answered
}
