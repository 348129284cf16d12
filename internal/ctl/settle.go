// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"

	"github.com/xfwd/xfwd/internal/maps"
)

// settle lets packets see of each backend what the change has made of it, and
// clears away what it has left behind: flows that shall not live on, then the
// backends and forwards that have none any more, and tables.
func (t *transaction) settle(existing Existing) error {
	if existing == ExistingReset {
		if err := t.reset(); err != nil {
			return err
		}
	}
	if err := t.putSlots(); err != nil {
		return err
	}
	if err := t.disconnect(existing); err != nil {
		return err
	}
	gone := make(map[uint32]backend)
	for id, b := range t.after.backends {
		if t.after.gone(b) {
			gone[id] = b
		}
	}
	survey, err := t.survey(gone)
	if err != nil {
		return err
	}
	if err := t.forget(gone, survey.lingering); err != nil {
		return err
	}
	if err := t.publish(t.after); err != nil {
		return err
	}
	return t.deleteTables()
}

// reset ends the established TCP connections of backends that were taken away with this
// change. Sockets of this host are closed while what they send to their clients is
// still translated. Connections that end elsewhere are reset with their next
// packet, which finds no flow.
func (t *transaction) reset() error {
	going := make(map[uint32]bool)
	for id, b := range t.after.backends {
		if t.taken(b) {
			going[id] = true
			b.Generation++
			t.after.put(b)
		}
	}
	if len(going) == 0 {
		return nil
	}
	var established []maps.Tuple
	err := t.d.Maps.Flows(func(flow maps.Flow) bool {
		if going[flow.Backend] && flow.Client.Protocol == uint8(TCP) && !flow.Elsewhere && !flow.Closed() {
			established = append(established, flow.Target)
		}
		return true
	})
	if err != nil {
		return err
	}
	return t.d.ResetSockets(established)
}

// goes says whether it is with this change that no forward has the backend any
// more.
func (t *transaction) goes(b backend) bool {
	was, found := t.before.backends[b.ID]
	return found && !t.before.gone(was) && t.after.gone(b)
}

// taken says whether it goes because somebody wants that. What has expired goes by
// itself.
func (t *transaction) taken(b backend) bool {
	return t.goes(b) && !t.before.hasExpired(t.before.all[b.info.Forward])
}

// putSlots writes the slots that are not yet, or not any more, what they shall be.
// The host's routes may have changed, too.
func (t *transaction) putSlots() error {
	var different []maps.Backend
	written := t.written()
	for id, b := range t.after.backends {
		b.Backend = t.slot(b)
		if b.Backend != written[id] {
			different = append(different, b.Backend)
			t.after.put(b)
		}
	}
	return t.d.Maps.PutBackends(different)
}

// written returns what the slots in use hold.
func (t *transaction) written() map[uint32]maps.Backend {
	written := make(map[uint32]maps.Backend, len(t.after.backends))
	for id, b := range t.before.backends {
		written[id] = b.Backend
	}
	for _, slot := range t.draft.slots {
		written[slot.ID] = slot
	}
	return written
}

// forget frees the slots of backends that are gone and have no flows, and removes
// the dead forwards that have no slots.
func (t *transaction) forget(gone map[uint32]backend, lingering map[uint32]bool) error {
	var free, forgotten []uint32
	for id := range gone {
		if !lingering[id] {
			free = append(free, id)
			t.after.remove(id)
		}
	}
	for _, k := range t.after.dead() {
		if len(t.after.ofForward[k.ID]) == 0 {
			forgotten = append(forgotten, k.ID)
			delete(t.after.all, k.ID)
		}
	}
	// A slot whose forward is missing would become that of the next one with the id.
	if err := t.d.Maps.DeleteBackendInfos(free); err != nil {
		return err
	}
	return t.d.Maps.DeleteForwards(forgotten)
}

// deleteTables removes the tables that no pool has in this epoch: those that the
// change has replaced, and what killed commands have left.
func (t *transaction) deleteTables() error {
	if len(t.tables) == 0 {
		return nil
	}
	for _, k := range t.after.all {
		if !k.Alive(t.after.epoch) {
			continue
		}
		for _, pool := range k.Terms(t.after.epoch).Pools {
			delete(t.tables, pool.Table)
		}
	}
	var unused []uint32
	for key := range t.tables {
		unused = append(unused, key)
	}
	slices.Sort(unused)
	return t.d.Maps.DeleteTables(unused)
}
