// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// MaxTables is the number of keys of tables, without 0, which is none.
const MaxTables = MaxForwards * len(Pools{})

// Pool is the backends that new flows of one address family can go to.
type Pool struct {
	// Backend is the id of the only one, or 0.
	Backend uint32
	// Table is the key of the table that several are in, of Size entries, or 0.
	Table, Size uint32
	// Serves is set if flows of the family are the forward's, whether or not a
	// backend takes them; otherwise their packets are left alone.
	Serves bool
}

// Pools are those of the families, at IPv4 and IPv6.
type Pools [2]Pool

// The families.
const (
	IPv4 = iota
	IPv6
)

func poolsFromKernel(forward *bpf.XfwdForward, version int) Pools {
	var pools Pools
	for family := range pools {
		k := &forward.Pools[version][family]
		pools[family] = Pool{Backend: k.Backend, Table: k.Table, Size: k.Size, Serves: k.Serves != 0}
	}
	return pools
}

func (p Pools) toKernel(forward *bpf.XfwdForward, version int) {
	for family, pool := range p {
		k := &forward.Pools[version][family]
		k.Backend, k.Table, k.Size = pool.Backend, pool.Table, pool.Size
		if pool.Serves {
			k.Serves = 1
		}
	}
}

// Tables returns the keys of all tables.
func (s *Set) Tables() ([]uint32, error) {
	var keys []uint32
	var key uint32
	err := s.maps.BackendTables.NextKey(nil, &key)
	for ; err == nil; err = s.maps.BackendTables.NextKey(key, &key) {
		keys = append(keys, key)
	}
	return keys, ignoreMissing(err)
}

// PutTables makes tables of backend ids under keys that are free. The kernel
// takes its time, for it waits for programs that run.
func (s *Set) PutTables(tables map[uint32][]uint32) error {
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(tables)), tablesAtOnce) {
		if err := s.putTables(keys, tables); err != nil {
			return err
		}
	}
	return nil
}

// tablesAtOnce bounds how many files putTables has open.
const tablesAtOnce = 128

func (s *Set) putTables(keys []uint32, tables map[uint32][]uint32) error {
	files := make([]uint32, len(keys))
	for i, key := range keys {
		m, err := newTable(tables[key])
		if err != nil {
			return err
		}
		// The kernel keeps what is in a map of maps.
		defer m.Close()
		files[i] = uint32(m.FD())
	}
	return putAll(s.maps.BackendTables, keys, files)
}

// newTable makes a table that holds these ids.
func newTable(ids []uint32) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type:       ebpf.Array,
		KeySize:    4,
		ValueSize:  4,
		MaxEntries: uint32(len(ids)),
		Flags:      unix.BPF_F_INNER_MAP,
	})
	if err != nil {
		return nil, fmt.Errorf("make a table of backends: %w", err)
	}
	indexes := make([]uint32, len(ids))
	for i := range indexes {
		indexes[i] = uint32(i)
	}
	if err := putAll(m, indexes, ids); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// DeleteTables removes tables that no pool names any more. A program that has
// begun before the last commit may still look for one, so it waits for those
// that run: the kernel does so after each change of a map of maps, and the first
// table is put where it is.
func (s *Set) DeleteTables(keys []uint32) error {
	if len(keys) == 0 {
		return nil
	}
	var first *ebpf.Map
	if err := s.maps.BackendTables.Lookup(keys[0], &first); err != nil {
		return fmt.Errorf("read map %s: %w", s.maps.BackendTables, err)
	}
	defer first.Close()
	if err := put(s.maps.BackendTables, keys[0], first); err != nil {
		return err
	}
	return removeAll(s.maps.BackendTables, keys)
}
