// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// The flow tables.
const (
	Established = int(bpf.XfwdFlowTableTABLE_ESTABLISHED)
	Transitory  = int(bpf.XfwdFlowTableTABLE_TRANSITORY)
)

// Entries counts those of the flow tables, at Established and Transitory. A flow has
// two in each table that it is in.
type Entries [bpf.XfwdFlowTableTABLE_COUNT]uint64

func (s *Set) flowTables() [bpf.XfwdFlowTableTABLE_COUNT]*ebpf.Map {
	return [...]*ebpf.Map{Established: s.maps.FlowsEstablished, Transitory: s.maps.FlowsTransitory}
}

// changes are what the programs have done to the flow tables, all CPUs together.
func (s *Set) changes() (inserted, deleted Entries, err error) {
	for table := range inserted {
		var perCPU []bpf.XfwdTableChanges
		if err := s.maps.TableChanges.Lookup(uint32(table), &perCPU); err != nil {
			return inserted, deleted, fmt.Errorf("read changes of the flow table: %w", err)
		}
		for _, k := range perCPU {
			inserted[table] += k.Inserted
			deleted[table] += k.Deleted
		}
	}
	return inserted, deleted, nil
}

// Inserted is how many entries the programs and commands have made.
func (s *Set) Inserted() (Entries, error) {
	inserted, _, err := s.changes()
	for table := range inserted {
		a, readErr := s.account(table)
		inserted[table] += a.Inserted
		err = errors.Join(err, readErr)
	}
	return inserted, err
}

func (s *Set) account(table int) (bpf.XfwdTableAccount, error) {
	var a bpf.XfwdTableAccount
	if err := s.maps.TableAccounts.Lookup(uint32(table), &a); err != nil {
		return a, fmt.Errorf("read the account of the flow table: %w", err)
	}
	return a, nil
}

// Evicted is how many entries the tables have lost to others because they were full,
// as far as CountEvicted has found out.
func (s *Set) Evicted() (Entries, error) {
	var evicted Entries
	for table := range evicted {
		a, err := s.account(table)
		if err != nil {
			return evicted, err
		}
		evicted[table] = a.Evicted
	}
	return evicted, nil
}

// CountEvicted finds out how many entries have been evicted: what was inserted and
// has neither been deleted nor is there. The kernel does not tell. `inserted` was read
// before `there` was counted. What comes and goes meanwhile makes the result too small,
// never too large, until the tables are counted in a quieter moment.
func (s *Set) CountEvicted(inserted, there Entries) error {
	_, deleted, err := s.changes()
	if err != nil {
		return err
	}
	for table := range inserted {
		a, err := s.account(table)
		if err != nil {
			return err
		}
		if gone := deleted[table] + a.Deleted + there[table]; inserted[table] > gone+a.Evicted {
			a.Evicted = inserted[table] - gone
			if err := put(s.maps.TableAccounts, uint32(table), a); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteEntries deletes keys from a flow table, each of which may be missing. They are
// counted before: if this process is killed, some evictions are not found out, but
// nothing is taken for one.
func (s *Set) deleteEntries(table int, keys []bpf.XfwdTuple) error {
	a, err := s.account(table)
	if err != nil || len(keys) == 0 {
		return err
	}
	before := a.Deleted
	a.Deleted += uint64(len(keys))
	if err := put(s.maps.TableAccounts, uint32(table), a); err != nil {
		return err
	}
	removed, err := removeCounting(s.flowTables()[table], keys)
	a.Deleted = before + uint64(removed)
	return errors.Join(err, put(s.maps.TableAccounts, uint32(table), a))
}
