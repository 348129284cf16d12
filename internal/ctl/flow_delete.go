// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"

	"github.com/xfwd/xfwd/internal/maps"
)

// FlowDeletion modifies DeleteFlows.
type FlowDeletion struct {
	// Existing says what happens to the TCP connections of sockets of this host whose
	// flows are forgotten. Others learn of it from their next packets.
	Existing Existing
	// DryRun counts the flows and changes nothing.
	DryRun bool
}

// flowsAtOnce is how many flows are forgotten together. More would need more memory,
// and be no faster.
const flowsAtOnce = 4096

// DeleteFlows forgets the live flows that a filter means, and returns how many those
// are. A flow that a packet uses at that moment may be made again.
func (i *Instance) DeleteFlows(ctx context.Context, filter FlowFilter, o FlowDeletion) (int, error) {
	begin := i.loader.Write
	if o.DryRun {
		begin = i.loader.Read
	}
	session, err := begin(ctx)
	if err != nil {
		return 0, classify(err)
	}
	defer session.Close()
	t, err := openFlowTable(session, filter)
	if err != nil {
		return 0, err
	}
	defer t.close()
	count := 0
	var some []maps.Flow
	err = t.each(ctx, func(_ Flow, flow maps.Flow) error {
		count++
		if o.DryRun {
			return nil
		}
		if some = append(some, flow); len(some) < flowsAtOnce {
			return nil
		}
		err := t.forget(some, o.Existing)
		some = some[:0]
		return err
	})
	if err != nil || len(some) == 0 {
		return count, err
	}
	return count, t.forget(some, o.Existing)
}

// forget resets connections, if that is asked for, while what their sockets send to
// the clients is still translated; and then forgets their flows.
func (t *flowTable) forget(flows []maps.Flow, existing Existing) error {
	if existing == ExistingReset {
		var open []maps.Tuple
		for _, flow := range flows {
			if flow.Client.Protocol == uint8(TCP) && !flow.Elsewhere && !flow.Closed() {
				open = append(open, flow.Target)
			}
		}
		if err := t.d.ResetSockets(open); err != nil {
			return err
		}
	}
	return t.d.Maps.ForgetFlows(flows)
}
