// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Counters is Forwards with counters.
func (i *Instance) Counters(ctx context.Context) ([]ForwardCounters, error) {
	var result []ForwardCounters
	err := i.read(ctx, func(d *loader.Dataplane) error {
		s, err := readState(d)
		if err != nil {
			return err
		}
		drops, err := d.Maps.Drops()
		if err != nil {
			return err
		}
		// Those of a forward may be more than those of its backends: the rest are
		// of backends that are gone.
		ofForward, ofBackend := make(map[uint32]uint64), make(map[uint32]uint64)
		err = d.Maps.Flows(func(f maps.Flow) bool {
			if isActive(f) {
				ofForward[f.Forward]++
				ofBackend[f.Backend]++
			}
			return true
		})
		if err != nil {
			return err
		}
		for _, k := range s.alive() {
			c, err := d.Maps.Counters(k.ID)
			if err != nil {
				return err
			}
			forward := ForwardCounters{Forward: s.forward(k), Counters: Counters{
				Forward:     Traffic{Packets: c.ForwardPackets, Bytes: c.ForwardBytes},
				Reverse:     Traffic{Packets: c.ReversePackets, Bytes: c.ReverseBytes},
				Connections: Connections{Opened: c.Opened, Active: ofForward[k.ID]},
				Drops:       drops[k.ID],
			}}
			for _, b := range s.members(k) {
				use := BackendUse{Active: ofBackend[b.ID]}
				if b.Source == maps.BackendMasquerades {
					use.Masqueraded, use.MasqueradeAddress = true, b.Masquerade
				}
				forward.Uses = append(forward.Uses, use)
			}
			result = append(result, forward)
		}
		slices.SortStableFunc(result, func(a, b ForwardCounters) int { return a.Frontend.Compare(b.Frontend) })
		return nil
	})
	return result, err
}

// isActive says whether a flow counts as an active connection: a TCP connection
// that has been accepted and is not closed, or a UDP flow that has not timed out.
func isActive(f maps.Flow) bool {
	if f.Closed() || f.Expired() {
		return false
	}
	return f.Client.Protocol == uint8(UDP) || f.Answered
}
