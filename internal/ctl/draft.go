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
	// born are new forwards, which are among forwards.
	born     []maps.Forward
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
	if err := d.reset(m); err != nil {
		return err
	}
	if err := m.PutBackendInfos(d.infos); err != nil {
		return err
	}
	return m.PutForwards(d.forwards)
}

// reset lets new forwards and backends begin at zero.
func (d *draft) reset(m *maps.Set) error {
	connections := make(map[uint32]int64, len(d.slots))
	var backends, forwards, overTCP []uint32
	for _, b := range d.slots {
		connections[b.ID] = 0
		backends = append(backends, b.ID)
	}
	for _, f := range d.born {
		forwards = append(forwards, f.ID)
		if f.Protocol == uint8(TCP) {
			overTCP = append(overTCP, f.ID)
		}
	}
	if err := m.PutConnections(connections); err != nil {
		return err
	}
	if err := m.ResetBackendCounters(backends); err != nil {
		return err
	}
	if err := m.ResetCounters(forwards); err != nil {
		return err
	}
	return m.ResetSetupTimes(overTCP)
}
