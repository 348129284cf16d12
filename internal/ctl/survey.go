// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"github.com/xfwd/xfwd/internal/maps"
)

// survey is what one look at all flows has found.
type survey struct {
	// lingering are the backends that are gone and have flows which live on.
	lingering map[uint32]bool
	// ending are flows that no longer stand: of such backends, and those that have
	// expired. The packet that finds one of the latter would count it off.
	ending []maps.Flow
	// connections are how many each backend has.
	connections map[uint32]int64
}

// survey looks at all flows if that is needed: because backends are gone, whose
// flows it ends unless they live on, or because connections must be counted.
func (t *transaction) survey(gone map[uint32]backend) (survey, error) {
	s := survey{lingering: make(map[uint32]bool), connections: make(map[uint32]int64)}
	if len(gone) == 0 && !t.recount {
		return s, nil
	}
	err := t.d.Maps.Flows(func(flow maps.Flow) bool {
		t.look(&s, flow, gone)
		return true
	})
	if err != nil {
		return s, err
	}
	if err := t.d.Maps.DeleteFlows(s.ending); err != nil {
		return s, err
	}
	return s, t.d.Maps.PutConnections(t.counts(s.connections))
}

// look notes what one flow means.
func (t *transaction) look(s *survey, flow maps.Flow, gone map[uint32]backend) {
	b, isGone := gone[flow.Backend]
	switch {
	case flow.Backend == 0:
		t.lingerForDirect(flow, gone, s.lingering)
	case isGone && livesOn(flow, b):
		s.lingering[b.ID] = true
	case !isGone && flow.Closed():
	case !isGone && t.isCounted(flow):
		s.connections[flow.Backend]++
	default:
		s.ending = append(s.ending, flow)
	}
}

// livesOn says of a flow of a backend that is gone what flow_is_current of the
// programs says.
func livesOn(flow maps.Flow, b backend) bool {
	return (flow.Established || flow.Closed()) && flow.Client.Protocol == uint8(TCP) && flow.Generation == b.Generation && !flow.Expired()
}

// lingerForDirect keeps backends that are gone for a client which talks to one of
// them directly, and has been given another source port because of its flows.
func (t *transaction) lingerForDirect(flow maps.Flow, gone map[uint32]backend, lingering map[uint32]bool) {
	if flow.Client == flow.Target || flow.Expired() || flow.Closed() {
		return
	}
	port := flow.Client.Destination.Port()
	for id, b := range gone {
		if t.after.all[b.info.Forward].Protocol == flow.Client.Protocol && b.PortFirst <= port && port <= b.PortLast {
			lingering[id] = true
		}
	}
}

// isCounted says whether a flow that is not closed is a connection of its backend.
func (t *transaction) isCounted(flow maps.Flow) bool {
	return !flow.Expired() && flow.Generation == t.after.backends[flow.Backend].Generation
}

// counts returns the counts of those backends whose forwards balance by them. What
// the flow table has forgotten without a word is not counted any more.
func (t *transaction) counts(connections map[uint32]int64) map[uint32]int64 {
	counts := make(map[uint32]int64)
	for id, b := range t.after.backends {
		if t.after.all[b.info.Forward].Balance == maps.BalanceLeastConnections {
			counts[id] = connections[id]
		}
	}
	return counts
}
