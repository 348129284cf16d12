// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	gomaps "maps"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// state is what the kernel holds of the forwards in one epoch.
type state struct {
	epoch uint64
	// all forwards by id: those alive; those dead, whose flows may live on; and
	// those not born, which a killed command has left.
	all map[uint32]maps.Forward
	// backends are the slots in use, by id: those that forwards have, those that
	// are gone, whose flows may live on, and those that a killed command has left.
	backends map[uint32]backend
	// ofForward are the ids of the slots of each forward.
	ofForward map[uint32][]uint32
	// renamed are the devices that forwards have followed to another name since the
	// kernel's maps were written.
	renamed []renamed
}

// backend is a slot in use: what packets see of it, and what it is to its forward.
type backend struct {
	maps.Backend
	info maps.BackendInfo
}

func newState(epoch uint64) *state {
	return &state{
		epoch:     epoch,
		all:       make(map[uint32]maps.Forward),
		backends:  make(map[uint32]backend),
		ofForward: make(map[uint32][]uint32),
	}
}

func readState(d *loader.Dataplane) (*state, error) {
	s := newState(d.Settings.Epoch)
	var err error
	if s.all, err = d.Maps.Forwards(); err != nil {
		return nil, err
	}
	infos, err := d.Maps.BackendInfos()
	if err != nil {
		return nil, err
	}
	slots, err := d.Maps.Backends(last(infos))
	if err != nil {
		return nil, err
	}
	s.backends = make(map[uint32]backend, len(infos))
	s.ofForward = make(map[uint32][]uint32, len(s.all))
	for id, info := range infos {
		s.put(backend{slots[id], info})
	}
	return s, s.followDevices(d)
}

// followDevices is follow, where some forward is bound to a device.
func (s *state) followDevices(d *loader.Dataplane) error {
	if len(s.bound()) == 0 {
		return nil
	}
	devices, err := d.Devices()
	if err == nil {
		s.follow(devices)
	}
	return err
}

// last is the highest id.
func last[V any](all map[uint32]V) uint32 {
	highest := uint32(0)
	for id := range all {
		highest = max(highest, id)
	}
	return highest
}

// next returns a state of the following epoch that holds the same.
func (s *state) next() *state {
	n := &state{
		epoch:     s.epoch + 1,
		all:       gomaps.Clone(s.all),
		backends:  gomaps.Clone(s.backends),
		ofForward: make(map[uint32][]uint32, len(s.ofForward)),
	}
	for id, backends := range s.ofForward {
		n.ofForward[id] = slices.Clone(backends)
	}
	return n
}

// put adds a backend, or changes one.
func (s *state) put(b backend) {
	if _, found := s.backends[b.ID]; !found {
		s.ofForward[b.info.Forward] = append(s.ofForward[b.info.Forward], b.ID)
	}
	s.backends[b.ID] = b
}

// remove forgets a backend.
func (s *state) remove(id uint32) {
	forward := s.backends[id].info.Forward
	s.ofForward[forward] = slices.DeleteFunc(s.ofForward[forward], func(o uint32) bool { return o == id })
	delete(s.backends, id)
}

// alive returns the forwards of the current epoch, by id. Those that have expired are
// among them until a command deletes them.
func (s *state) alive() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Alive(s.epoch) })
}

// valid returns the alive forwards that have not expired, by id; nobody is told of
// others.
func (s *state) valid() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Alive(s.epoch) && !s.hasExpired(f) })
}

// expired returns the alive forwards that have expired, by id.
func (s *state) expired() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Alive(s.epoch) && s.hasExpired(f) })
}

// hasExpired says whether a forward had expired when it was read.
func (s *state) hasExpired(f maps.Forward) bool { return f.Terms(s.epoch).Expired }

// dead returns the forwards that have been deleted and not yet forgotten.
func (s *state) dead() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return f.Dies <= s.epoch })
}

// bound are the alive forwards that are bound to devices.
func (s *state) bound() []maps.Forward {
	return s.those(func(f maps.Forward) bool { return len(f.Devices) > 0 && f.Alive(s.epoch) })
}

func (s *state) those(is func(maps.Forward) bool) []maps.Forward {
	// Forwards are large, so their numbers are sorted.
	ids := make([]uint32, 0, len(s.all))
	for id, f := range s.all {
		if is(f) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	those := make([]maps.Forward, len(ids))
	for i, id := range ids {
		those[i] = s.all[id]
	}
	return those
}

// members returns the backends that a forward has, in their user's order.
func (s *state) members(f maps.Forward) []backend {
	ids := s.ofForward[f.ID]
	if len(ids) == 0 {
		return nil
	}
	members := make([]backend, 0, len(ids))
	for _, id := range ids {
		if b := s.backends[id]; s.role(b).State != maps.BackendGone {
			members = append(members, b)
		}
	}
	if len(members) < 2 {
		return members
	}
	slices.SortFunc(members, func(a, b backend) int {
		return cmp.Or(cmp.Compare(s.role(a).Position, s.role(b).Position), cmp.Compare(a.ID, b.ID))
	})
	return members
}

func (s *state) role(b backend) maps.BackendRole { return b.info.Role(s.epoch) }

// gone says whether no forward has the backend any more.
func (s *state) gone(b backend) bool {
	return s.role(b).State == maps.BackendGone || !s.all[b.info.Forward].Alive(s.epoch)
}

// forwards returns the valid ones as users know them.
func (s *state) forwards() []Forward { return s.known(s.valid()) }

// known returns forwards as their users know them.
func (s *state) known(those []maps.Forward) []Forward {
	if len(those) == 0 {
		return nil
	}
	forwards := make([]Forward, 0, len(those))
	for _, k := range those {
		forwards = append(forwards, s.forward(k))
	}
	Sort(forwards)
	return forwards
}

// forward returns one forward as its user knows it.
func (s *state) forward(k maps.Forward) Forward {
	f := forwardFromKernel(k, k.Terms(s.epoch))
	for _, b := range s.members(k) {
		f.Backends = append(f.Backends, backendFromKernel(b.Backend, s.role(b)))
	}
	return f.Canonical()
}
