// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"github.com/xfwd/xfwd/internal/maps"
)

// settle clears away what the change has left behind: the frontends of dead
// forwards, their flows that shall not live on, and the forwards themselves when
// they have no flows any more.
func (t *transaction) settle(existing Existing) error {
	dead := t.after.dead()
	if err := t.closeBackends(dead, existing); err != nil {
		return err
	}
	if len(dead) > 0 {
		lingering, err := t.endFlows(dead)
		if err != nil {
			return err
		}
		for _, f := range dead {
			if lingering[f.ID] {
				continue
			}
			if err := t.d.Maps.DeleteForward(f.ID); err != nil {
				return err
			}
			delete(t.after.all, f.ID)
		}
	}
	if err := t.d.Maps.PutFrontends(maps.NewFrontendTable(t.frontends(t.after), nil)); err != nil {
		return err
	}
	return t.d.Maps.PutPorts(ports(t.after))
}

// closeBackends tells the programs that the flows of dead forwards end: all but
// established TCP, or with reset those too. The sockets of this host are closed
// first, while what they send to their clients is still translated.
func (t *transaction) closeBackends(dead []maps.Forward, existing Existing) error {
	for _, f := range dead {
		b := t.after.backends[f.Backend]
		justDied := f.Dies == t.after.epoch
		switch {
		case justDied && existing == ExistingReset:
			if err := t.resetSockets(f); err != nil {
				return err
			}
			b.Generation++
		case b.State == maps.BackendGone:
			continue
		}
		b.State = maps.BackendGone
		t.after.backends[b.ID] = b
		if err := t.d.Maps.PutBackend(b); err != nil {
			return err
		}
	}
	return nil
}

// resetSockets resets the connections of a forward whose other end is a process
// of this host. Those that end elsewhere are reset with their next packet, which
// finds no flow.
func (t *transaction) resetSockets(f maps.Forward) error {
	var established []maps.Tuple
	err := t.d.Maps.Flows(func(flow maps.Flow) bool {
		if flow.Forward == f.ID && flow.Client.Protocol == uint8(TCP) && !flow.Closed() {
			established = append(established, flow.Target)
		}
		return true
	})
	if err != nil {
		return err
	}
	return t.d.ResetSockets(established)
}

// endFlows removes the flows of dead forwards that may not live on, and returns
// which of these forwards still have some.
//
// A client that talks to a target directly may have been given another source
// port because of one of these flows. Then the forward lingers for it, too.
func (t *transaction) endFlows(dead []maps.Forward) (lingering map[uint32]bool, err error) {
	byID := make(map[uint32]maps.Forward)
	for _, f := range dead {
		byID[f.ID] = f
	}
	var ending []maps.Flow
	lingering = make(map[uint32]bool)
	err = t.d.Maps.Flows(func(flow maps.Flow) bool {
		if flow.Forward == 0 {
			t.lingerForDirect(flow, dead, lingering)
			return true
		}
		f, isDead := byID[flow.Forward]
		if !isDead {
			return true
		}
		if t.livesOn(flow, t.after.backends[f.Backend]) {
			lingering[f.ID] = true
		} else {
			ending = append(ending, flow)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, flow := range ending {
		if err := t.d.Maps.DeleteFlow(flow); err != nil {
			return nil, err
		}
	}
	return lingering, nil
}

// livesOn says of a flow of a dead forward what flow_is_current of the programs
// says.
func (t *transaction) livesOn(flow maps.Flow, b maps.Backend) bool {
	return (flow.Established || flow.Closed()) && flow.Client.Protocol == uint8(TCP) && flow.Generation == b.Generation && !flow.Expired()
}

func (t *transaction) lingerForDirect(flow maps.Flow, dead []maps.Forward, lingering map[uint32]bool) {
	if flow.Client == flow.Target || flow.Expired() || flow.Closed() {
		return
	}
	port := flow.Client.Destination.Port()
	for _, f := range dead {
		b := t.after.backends[f.Backend]
		if f.Protocol == flow.Client.Protocol && b.PortFirst <= port && port <= b.PortLast {
			lingering[f.ID] = true
		}
	}
}
