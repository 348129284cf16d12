// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// ForgetFlows is DeleteFlows and, as the programs do, counts the connections off that
// have not closed.
func (s *Set) ForgetFlows(flows []Flow) error {
	open := make(map[uint32]int64)
	for _, f := range flows {
		counted, err := s.isCounted(f)
		if err != nil {
			return err
		}
		if counted {
			open[f.Backend]++
		}
	}
	if err := s.DeleteFlows(flows); err != nil {
		return err
	}
	return s.countOff(open)
}

// DeleteFlows removes both entries of flows. That one has gone already is no error, nor that
// another flow has its key by now, whose entry stays.
func (s *Set) DeleteFlows(flows []Flow) error {
	for table, m := range s.flowTables() {
		var keys []bpf.XfwdTuple
		for _, f := range flows {
			for _, entry := range [2]struct{ key, to bpf.XfwdTuple }{{f.key, reversed(f.partner)}, {f.partner, reversed(f.key)}} {
				var k bpf.XfwdFlow
				switch err := m.Lookup(entry.key, &k); {
				case errors.Is(err, ebpf.ErrKeyNotExist):
				case err != nil:
					return fmt.Errorf("read map %s: %w", m, err)
				case k.To == entry.to:
					keys = append(keys, entry.key)
				}
			}
		}
		if err := s.deleteEntries(table, keys); err != nil {
			return err
		}
	}
	return nil
}

// isCounted says whether a flow is, now, one of the connections of its backend: it
// may have closed since it was read, and then the programs have counted it off.
func (s *Set) isCounted(f Flow) (bool, error) {
	if !f.Counted || f.Closed() {
		return false, nil
	}
	for table, m := range s.flowTables() {
		var k bpf.XfwdFlow
		switch err := m.Lookup(f.key, &k); {
		case errors.Is(err, ebpf.ErrKeyNotExist):
		case err != nil:
			return false, fmt.Errorf("read map %s: %w", m, err)
		default:
			return !flowFromKernel(f.key, k, table == Established, 0).Closed(), nil
		}
	}
	return false, nil
}

// countOff takes connections that have ended from the counts of their backends. One
// that a packet counts in the same moment may be missed, until a command that changes
// a forward counts all of them anew.
func (s *Set) countOff(ended map[uint32]int64) error {
	left := make(map[uint32]int64, len(ended))
	for id, n := range ended {
		var count int64
		if err := s.maps.BackendConnections.Lookup(id, &count); err != nil {
			return fmt.Errorf("read connections: %w", err)
		}
		left[id] = count - n
	}
	return s.PutConnections(left)
}
