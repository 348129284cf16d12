// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"github.com/xfwd/xfwd/internal/maps"
)

// draft is what a transaction writes before it is committed. All of it is about
// the next epoch, or about ids that nothing has in this one.
type draft struct {
	// tables of backend ids, by key.
	tables map[uint32][]uint32
	slots  []maps.Backend
	infos  []maps.BackendInfo
	// born are the ids of new forwards, which are among forwards.
	born     []uint32
	forwards []maps.Forward
}

// write writes it, what others refer to first.
func (d *draft) write(m *maps.Set) error {
	if err := m.PutTables(d.tables); err != nil {
		return err
	}
	if err := m.PutBackends(d.slots); err != nil {
		return err
	}
	connections := make(map[uint32]int64, len(d.slots))
	for _, b := range d.slots {
		connections[b.ID] = 0
	}
	if err := m.PutConnections(connections); err != nil {
		return err
	}
	if err := m.PutBackendInfos(d.infos); err != nil {
		return err
	}
	if err := m.ResetCounters(d.born); err != nil {
		return err
	}
	return m.PutForwards(d.forwards)
}
