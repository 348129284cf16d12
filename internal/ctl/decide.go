// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"github.com/xfwd/xfwd/internal/maps"
)

// begin reads what the kernel has beside the state: which tables, and what the
// slots that the change may take have held before.
func (t *transaction) begin(report Report) error {
	keys, err := t.d.Maps.Tables()
	if err != nil {
		return err
	}
	t.tables = make(map[uint32]bool, len(keys))
	for _, key := range keys {
		t.tables[key] = true
	}
	t.draft.tables = make(map[uint32][]uint32)
	// The lowest free ids are taken, so none is higher than the number of those
	// that are in use then.
	most := len(t.before.backends)
	for _, forwards := range [][]Forward{report.Added, report.Changed} {
		for _, f := range forwards {
			most += len(f.Backends)
		}
	}
	t.slots, err = t.d.Maps.Backends(uint32(min(most, maps.MaxBackends-1)))
	return err
}

// decide drafts the change: some forwards die with the current epoch, some get
// other backends or terms, some are born; all others live on. Among these may be some
// of which a killed command wanted otherwise.
func (t *transaction) decide(report Report) error {
	removed := make(map[frontendKey]bool)
	for _, forwards := range [][]Forward{report.Removed, report.Expired} {
		for _, f := range forwards {
			removed[f.Frontend.key()] = true
		}
	}
	changed := make(map[frontendKey]Forward)
	for _, f := range report.Changed {
		changed[f.Frontend.key()] = f
	}
	for _, k := range t.before.alive() {
		key := forwardFromKernel(k, k.Terms(t.before.epoch)).Frontend.key()
		end := uint64(maps.NeverDies)
		if removed[key] {
			end = t.after.epoch
		}
		f, changes := changed[key]
		if !changes && k.Dies == end {
			continue
		}
		k.Dies = end
		if changes {
			if err := t.change(&k, f); err != nil {
				return err
			}
		}
		t.putForward(k)
	}
	for _, f := range report.Added {
		if err := t.bear(f); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) putForward(k maps.Forward) {
	t.after.all[k.ID] = k
	t.draft.forwards = append(t.draft.forwards, k)
}

// bear drafts a forward that is born in the next epoch.
func (t *transaction) bear(f Forward) (err error) {
	k := forwardToKernel(f)
	k.Known = know(&t.host.Devices, k.Devices, nil)
	k.Born = t.after.epoch
	if k.ID, err = freeID(t.after.all, &t.lastForward, maps.MaxForwards, "forwards"); err != nil {
		return err
	}
	k.AffinityGroupID = t.after.groupID(k.AffinityGroup)
	t.after.all[k.ID] = k
	for position, b := range f.Backends {
		if err := t.takeSlot(k, b, roleToKernel(b, position)); err != nil {
			return err
		}
	}
	if k.After.Pools, err = t.pools(k, nil); err != nil {
		return err
	}
	k.Before = k.After
	t.recount = t.recount || k.Balance == maps.BalanceLeastConnections
	t.draft.born = append(t.draft.born, k)
	t.putForward(k)
	return nil
}

// change drafts other terms and backends of a forward that stays.
func (t *transaction) change(k *maps.Forward, f Forward) (err error) {
	old := t.before.members(*k)
	left := make(map[backendKey]backend, len(old))
	for _, b := range old {
		left[backendFromKernel(b.Backend, t.before.role(b)).key()] = b
	}
	for position, b := range f.Backends {
		role := roleToKernel(b, position)
		if member, stays := left[b.key()]; stays {
			t.setRole(member, role)
			delete(left, b.key())
		} else if err := t.takeSlot(*k, b, role); err != nil {
			return err
		}
	}
	for _, b := range left {
		role := t.before.role(b)
		role.State = maps.BackendGone
		t.setRole(b, role)
	}
	k.Changed, k.Before, k.After = t.after.epoch, k.Terms(t.before.epoch), termsToKernel(f)
	k.After.Pools, err = t.pools(*k, old)
	t.recount = t.recount || k.Balance == maps.BalanceLeastConnections
	return err
}

// setRole drafts another role of a backend from the next epoch on.
func (t *transaction) setRole(b backend, role maps.BackendRole) {
	now := t.before.role(b)
	if role == now {
		return
	}
	b.info.Changed, b.info.Before, b.info.After = t.after.epoch, now, role
	t.after.put(b)
	t.draft.infos = append(t.draft.infos, b.info)
}

// takeSlot drafts a backend that its forward has from the next epoch on. Its
// generation is one that no flow has.
func (t *transaction) takeSlot(k maps.Forward, b Backend, role maps.BackendRole) error {
	id, err := freeID(t.after.backends, &t.lastBackend, maps.MaxBackends, "backends")
	if err != nil {
		return err
	}
	slot := backend{
		maps.Backend{
			ID:         id,
			Address:    b.Address,
			PortFirst:  b.Ports.First,
			PortLast:   b.Ports.Last,
			Generation: t.slots[id].Generation + 1,
		},
		maps.BackendInfo{
			Backend: id,
			Forward: k.ID,
			Changed: t.after.epoch,
			Before:  maps.BackendRole{State: maps.BackendGone},
			After:   role,
		},
	}
	slot.Backend = t.slot(slot)
	t.after.put(slot)
	t.draft.slots = append(t.draft.slots, slot.Backend)
	t.draft.infos = append(t.draft.infos, slot.info)
	return nil
}

// slot returns what packets shall see of a backend once the change is committed.
func (t *transaction) slot(b backend) maps.Backend {
	slot, role := b.Backend, t.after.role(b)
	if t.after.gone(b) {
		slot.State = maps.BackendGone
		return slot
	}
	slot.Weight, slot.State = role.Weight, role.Serves()
	slot.Source, slot.Masquerade = sourceOf(t.host, t.after.all[b.info.Forward].Source, b.Address)
	return slot
}

// freeID returns the lowest id behind *last that is not taken, and moves *last
// there. Ids are less than the limit.
func freeID[V any](taken map[uint32]V, last *uint32, limit uint32, what string) (uint32, error) {
	for {
		*last++
		if *last >= limit {
			return 0, Errorf(ErrUnsupported, "there are too many %s; at most %d can be at once, those included that go with this change, and those whose connections live on", what, limit-1)
		}
		if _, is := taken[*last]; !is {
			return *last, nil
		}
	}
}
