// SPDX-License-Identifier: Apache-2.0

// Package maps reads and writes the maps of a dataplane. It is the only place
// that knows their layout and byte order: what it takes and gives has addresses
// as netip.Addr, ports in host order, and strings.
package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// Set is the maps of one dataplane. Its methods that write are not safe for
// concurrent use, by other processes neither: callers hold the loader's lock.
type Set struct {
	maps bpf.XfwdMaps
}

// NewSet takes over the maps, which Close closes.
func NewSet(maps bpf.XfwdMaps) *Set {
	return &Set{maps: maps}
}

// Close closes the maps. What is pinned lives on.
func (s *Set) Close() error {
	return s.maps.Close()
}

// entries returns all entries of a hash map or a trie.
func entries[K comparable, V any](m *ebpf.Map) (map[K]V, error) {
	all := make(map[K]V)
	if m.Type() != ebpf.LPMTrie {
		err := batches(m, func(k K, v V) { all[k] = v })
		return all, err
	}
	// A trie cannot be read in batches before Linux 5.13.
	var key K
	var value V
	it := m.Iterate()
	for it.Next(&key, &value) {
		all[key] = value
	}
	return all, it.Err()
}

// batches calls f for every entry of a map, reading many at once. An entry
// that comes or goes meanwhile may be missed.
func batches[K comparable, V any](m *ebpf.Map, f func(K, V)) error {
	// A batch must hold the fullest bucket of a hash; it grows when it did not.
	size := min(int(m.MaxEntries()), 4096)
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, size), make([]V, size)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			f(keys[i], values[i])
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("read map %s: %w", m, err)
		}
	}
}

// replace makes a hash map hold exactly these entries. What stays is never
// absent meanwhile.
func replace[K, V comparable](m *ebpf.Map, want map[K]V) error {
	have, err := entries[K, V](m)
	if err != nil {
		return err
	}
	for key, value := range want {
		if old, ok := have[key]; !ok || old != value {
			if err := put(m, key, value); err != nil {
				return err
			}
		}
	}
	for key := range have {
		if _, wanted := want[key]; !wanted {
			if err := remove(m, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes a key; it is no error when it is not there.
func remove(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete from map %s: %w", m, err)
	}
	return nil
}

// put inserts or replaces an entry.
func put(m *ebpf.Map, key, value any) error {
	if err := m.Put(key, value); err != nil {
		return fmt.Errorf("write to map %s: %w", m, err)
	}
	return nil
}
