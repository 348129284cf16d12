// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"errors"
	"iter"
	"net/netip"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Flows yields the live flows, each once, in no order. Those of forwards that have
// been deleted are among them as long as they live on.
func (i *Instance) Flows(ctx context.Context) iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		stopped := false
		err := i.read(ctx, func(d *loader.Dataplane) error {
			s, err := readState(d)
			if err != nil {
				return err
			}
			err = d.Maps.Flows(func(f maps.Flow) bool {
				k, known := s.all[f.Forward]
				if known && !f.Expired() {
					stopped = !yield(flowOf(f, forwardFromKernel(k)), nil)
				}
				return !stopped && ctx.Err() == nil
			})
			return errors.Join(err, ctx.Err())
		})
		if err != nil && !stopped {
			yield(Flow{}, err)
		}
	}
}

func flowOf(f maps.Flow, forward Forward) Flow {
	return Flow{
		Frontend:    forward.Frontend,
		Name:        forward.Name,
		Client:      endpoint(f.Client.Source),
		Destination: endpoint(f.Client.Destination),
		Source:      endpoint(f.Target.Source),
		Target:      endpoint(f.Target.Destination),
		State:       flowState(f),
		Idle:        f.Idle,
	}
}

func endpoint(a netip.AddrPort) FlowEndpoint {
	return FlowEndpoint{Address: a.Addr(), Port: a.Port()}
}

func flowState(f maps.Flow) string {
	switch {
	case f.Client.Protocol == uint8(UDP) && f.Answered:
		return "two-way"
	case f.Client.Protocol == uint8(UDP):
		return "one-way"
	case f.Closed():
		return "closed"
	case f.FinForward || f.FinReverse:
		return "closing"
	case f.Established:
		return "established"
	}
	return "syn"
}
