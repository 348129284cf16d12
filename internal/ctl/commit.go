// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// transaction is a change of the forwards on its way into the kernel. It is
// prepared for the next epoch, in which nobody lives yet; one store makes that the
// current one; then what is dead is cleared away. A command that is killed at any
// of these points leaves something that the next one's transaction removes.
type transaction struct {
	d    *loader.Dataplane
	host *loader.Host
	// before is what the kernel held, after what it holds once committed.
	before, after *state
	// lastForward and lastBackend are the ids that were given last; 0 is none.
	lastForward, lastBackend uint32
}

// prepare writes everything that the change needs, without effect on packets
// and readers.
func prepare(d *loader.Dataplane, host *loader.Host, report Report) (*transaction, error) {
	before, err := readState(d)
	if err != nil {
		return nil, err
	}
	t := &transaction{d: d, host: host, before: before}
	for _, f := range before.unborn() {
		if err := d.Maps.DeleteForward(f.ID); err != nil {
			return nil, err
		}
		delete(before.all, f.ID)
	}
	t.after = before.next()
	if err := t.decideDeaths(report.Removed); err != nil {
		return nil, err
	}
	for _, f := range report.Added {
		if err := t.bear(f); err != nil {
			return nil, err
		}
	}
	if err := d.Maps.PutFrontends(maps.NewFrontendTable(t.frontends(before), t.frontends(t.after))); err != nil {
		return nil, err
	}
	return t, d.Maps.PutPorts(ports(before, t.after))
}

// next returns a state of the following epoch with the same forwards.
func (s *state) next() *state {
	n := &state{epoch: s.epoch + 1, all: make(map[uint32]maps.Forward), backends: make(map[uint32]maps.Backend)}
	for id, f := range s.all {
		n.all[id] = f
	}
	for id, b := range s.backends {
		n.backends[id] = b
	}
	return n
}

// decideDeaths lets forwards die with the current epoch, and all others live.
// Among these may be some of which a killed command wanted otherwise.
func (t *transaction) decideDeaths(removed []Forward) error {
	dies := make(map[frontendKey]bool)
	for _, f := range removed {
		dies[f.Frontend.key()] = true
	}
	for key, k := range t.before.byFrontend() {
		end := uint64(maps.NeverDies)
		if dies[key] {
			end = t.after.epoch
		}
		if k.Dies == end {
			continue
		}
		k.Dies = end
		t.after.all[k.ID] = k
		if err := t.d.Maps.PutForward(k); err != nil {
			return err
		}
	}
	return nil
}

// bear writes a forward that is born in the next epoch.
func (t *transaction) bear(f Forward) error {
	k, b := forwardToKernel(f)
	k.ID = freeID(t.after.all, &t.lastForward)
	k.Born = t.after.epoch
	b.ID = freeID(t.after.backends, &t.lastBackend)
	k.Backend = b.ID
	slot, err := t.d.Maps.Backend(b.ID)
	if err != nil {
		return err
	}
	b.Generation = slot.Generation + 1
	t.after.all[k.ID] = k
	t.after.backends[b.ID] = b
	if err := t.d.Maps.PutBackend(b); err != nil {
		return err
	}
	if err := t.d.Maps.ResetCounters(k.ID); err != nil {
		return err
	}
	return t.d.Maps.PutForward(k)
}

// freeID returns the lowest id from *next on that is not taken, and moves *next
// behind it.
func freeID[V any](taken map[uint32]V, next *uint32) uint32 {
	for {
		*next++
		if _, is := taken[*next]; !is {
			return *next
		}
	}
}

// frontends returns where the alive forwards of a state are looked up. A device
// that is not there now has none; the next command looks again.
func (t *transaction) frontends(s *state) []maps.Frontend {
	var frontends []maps.Frontend
	for _, k := range s.alive() {
		f := maps.Frontend{
			Forward:   k.ID,
			Protocol:  k.Protocol,
			Address:   k.Address,
			PortFirst: k.PortFirst,
			PortLast:  k.PortLast,
		}
		if len(k.Devices) == 0 {
			frontends = append(frontends, f)
		}
		for _, device := range k.Devices {
			if ifindex, ok := t.host.Ifindex(device); ok {
				f.Ifindex = uint32(ifindex)
				frontends = append(frontends, f)
			}
		}
	}
	return frontends
}

// ports returns the table that serves all of these states, and the flows of their
// dead forwards.
func ports(states ...*state) *maps.PortTable {
	table := new(maps.PortTable)
	for _, s := range states {
		for _, f := range s.alive() {
			b := s.backends[f.Backend]
			table.AddFrontend(f.Protocol, f.Address, len(f.Devices) > 0, f.PortFirst, f.PortLast)
			table.AddTarget(f.Protocol, b.PortFirst, b.PortLast)
		}
		for _, f := range s.dead() {
			b := s.backends[f.Backend]
			table.AddLingering(f.Protocol, f.PortFirst, f.PortLast)
			table.AddTarget(f.Protocol, b.PortFirst, b.PortLast)
		}
	}
	return table
}

// commit makes the change take place.
func (t *transaction) commit() error {
	if err := t.d.Maps.Commit(t.after.epoch); err != nil {
		return err
	}
	t.d.Settings.Epoch = t.after.epoch
	return nil
}
