// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// state is what the kernel holds of the forwards at one time.
type state struct {
	epoch uint64
	// all forwards by id: those alive; those dead, whose flows may live on; and
	// those not born, which a killed command has left.
	all      map[uint32]maps.Forward
	backends map[uint32]maps.Backend
}

func readState(d *loader.Dataplane) (*state, error) {
	all, err := d.Maps.Forwards()
	if err != nil {
		return nil, err
	}
	s := &state{epoch: d.Settings.Epoch, all: all, backends: make(map[uint32]maps.Backend)}
	for _, f := range all {
		if s.backends[f.Backend], err = d.Maps.Backend(f.Backend); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// alive returns the forwards of the current epoch, by id.
func (s *state) alive() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Alive(s.epoch) })
}

// dead returns the forwards that have been deleted and not yet forgotten.
func (s *state) dead() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Dies <= s.epoch })
}

// unborn returns the forwards of a change that was never committed.
func (s *state) unborn() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Born > s.epoch })
}

func (s *state) those(is func(maps.Forward) bool) []maps.Forward {
	var those []maps.Forward
	for _, f := range s.all {
		if is(f) {
			those = append(those, f)
		}
	}
	slices.SortFunc(those, func(a, b maps.Forward) int { return int(a.ID) - int(b.ID) })
	return those
}

// forwards returns the alive ones as users know them.
func (s *state) forwards() []Forward {
	var forwards []Forward
	for _, f := range s.alive() {
		forwards = append(forwards, forwardFromKernel(f, s.backends[f.Backend]))
	}
	Sort(forwards)
	return forwards
}

// byFrontend returns the alive ones by what no two of them share.
func (s *state) byFrontend() map[frontendKey]maps.Forward {
	index := make(map[frontendKey]maps.Forward)
	for _, f := range s.alive() {
		index[forwardFromKernel(f, s.backends[f.Backend]).Frontend.key()] = f
	}
	return index
}

func forwardFromKernel(k maps.Forward, b maps.Backend) Forward {
	source := SourceAuto
	if k.Preserve {
		source = SourcePreserve
	}
	return Forward{
		Name: k.Name,
		Frontend: Frontend{
			Protocol: Protocol(k.Protocol),
			Address:  k.Address,
			Ports:    PortRange{k.PortFirst, k.PortLast},
			Devices:  k.Devices,
		},
		Backends: []Backend{{
			Address: b.Address,
			Ports:   PortRange{b.PortFirst, b.PortLast},
			Weight:  defaultWeight,
			State:   BackendActive,
		}},
		Source:  source,
		Balance: BalanceMaglev,
		Comment: k.Comment,
	}.Canonical()
}

// forwardToKernel returns a forward and its backend, which have no ids yet.
func forwardToKernel(f Forward) (maps.Forward, maps.Backend) {
	b := f.Backends[0]
	return maps.Forward{
			Dies:       maps.NeverDies,
			Protocol:   uint8(f.Frontend.Protocol),
			Address:    f.Frontend.Address,
			PortFirst:  f.Frontend.Ports.First,
			PortLast:   f.Frontend.Ports.Last,
			PortByPort: b.Ports.First != b.Ports.Last,
			Devices:    f.Frontend.Devices,
			Name:       f.Name,
			Comment:    f.Comment,
			Preserve:   f.Source == SourcePreserve,
		}, maps.Backend{
			Address:   b.Address,
			PortFirst: b.Ports.First,
			PortLast:  b.Ports.Last,
			State:     maps.BackendActive,
		}
}
