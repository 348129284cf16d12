// SPDX-License-Identifier: Apache-2.0

// Package maps reads and writes the maps of a dataplane. It is the only place
// that knows their layout and byte order: what it takes and gives has addresses
// as netip.Addr, ports in host order, and strings.
package maps

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

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
		err := batches(m, func(k K, v V) bool {
			all[k] = v
			return true
		})
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

// readArray reads as many entries of an array as there are values, from the
// first on.
func readArray[V any](m *ebpf.Map, values []V) error {
	var cursor ebpf.MapBatchCursor
	n, err := m.BatchLookup(&cursor, make([]uint32, len(values)), values, nil)
	if err := ignoreMissing(err); err != nil {
		return fmt.Errorf("read map %s: %w", m, err)
	}
	if n != len(values) {
		return fmt.Errorf("read map %s: it has %d entries, not %d", m, n, len(values))
	}
	return nil
}

// The number of entries that are read at once: few at first, as most maps have, and more
// with each turn, for those of flows.
const (
	firstBatch = 64
	lastBatch  = 4096
)

// batches calls f for every entry of a map until it returns false, reading many at
// once. An entry that comes or goes meanwhile may be missed.
func batches[K comparable, V any](m *ebpf.Map, f func(K, V) bool) error {
	return batchesFrom(m, firstBatch, f)
}

// batchesFrom is batches with another number of entries at first.
func batchesFrom[K comparable, V any](m *ebpf.Map, size int, f func(K, V) bool) error {
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, size), make([]V, size)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			if !f(keys[i], values[i]) {
				return nil
			}
		}
		crowded := errors.Is(err, unix.ENOSPC) // a bucket of the hash has more
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return nil
		case err != nil && !crowded:
			return fmt.Errorf("read map %s: %w", m, err)
		}
		if crowded || size < lastBatch {
			size *= 2
			keys, values = make([]K, size), make([]V, size)
		}
	}
}

// replace makes a hash map or a trie hold exactly these entries. What stays is
// never absent meanwhile.
func replace[K, V comparable](m *ebpf.Map, want map[K]V) error {
	have, err := entries[K, V](m)
	if err != nil {
		return err
	}
	return replaceKnown(m, have, want)
}

// replaceKnown is replace for a map whose entries are known.
func replaceKnown[K, V comparable](m *ebpf.Map, have, want map[K]V) error {
	var keys, gone []K
	var values []V
	for key, value := range want {
		if old, ok := have[key]; !ok || old != value {
			keys, values = append(keys, key), append(values, value)
		}
	}
	for key := range have {
		if _, wanted := want[key]; !wanted {
			gone = append(gone, key)
		}
	}
	err := putAll(m, keys, values)
	if errors.Is(err, errFull) && len(gone) > 0 {
		// What does not belong there may take the room: a change that was too large has
		// left all that it could write.
		if err := removeAll(m, gone); err != nil {
			return err
		}
		return putAll(m, keys, values)
	}
	if err != nil {
		return err
	}
	return removeAll(m, gone)
}

// putAll inserts or replaces many entries, in this order.
func putAll[K, V any](m *ebpf.Map, keys []K, values []V) error {
	return putBatch(m, keys, values, func(i int) any { return values[i] })
}

// putAllPerCPU is putAll for a per-CPU map, which has a value for each processor.
func putAllPerCPU[K, V any](m *ebpf.Map, keys []K, values []V) error {
	return putBatch(m, keys, values, func(i int) any {
		cpus := len(values) / len(keys)
		return values[i*cpus : (i+1)*cpus]
	})
}

// putBatch puts all values at once, or each by itself if it is the only one, of a
// kind of map that this kernel has no batches for, or one for which put waits.
func putBatch[K any](m *ebpf.Map, keys []K, values any, value func(int) any) error {
	done := 0
	if len(keys) > 1 {
		var err error
		done, err = m.BatchUpdate(keys, values, nil)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ebpf.ErrNotSupported):
			done = 0
		case !errors.Is(err, unix.ENOMEM):
			return writeError(m, err)
		}
	}
	for i := done; i < len(keys); i++ {
		if err := put(m, keys[i], value(i)); err != nil {
			return err
		}
	}
	return nil
}

// removeAll deletes many keys, each of which may be missing.
func removeAll[K any](m *ebpf.Map, keys []K) error {
	_, err := removeCounting(m, keys)
	return err
}

// removeCounting is removeAll, and says how many were there.
func removeCounting[K any](m *ebpf.Map, keys []K) (removed int, err error) {
	for len(keys) > 1 {
		n, err := m.BatchDelete(keys, nil)
		if errors.Is(err, ebpf.ErrNotSupported) {
			break
		}
		removed += n
		if err == nil {
			return removed, nil
		}
		if !errors.Is(err, ebpf.ErrKeyNotExist) {
			return removed, fmt.Errorf("delete from map %s: %w", m, err)
		}
		// It stopped at one that is missing.
		keys = keys[n+1:]
	}
	for _, key := range keys {
		err := m.Delete(key)
		if err == nil {
			removed++
		} else if !errors.Is(err, ebpf.ErrKeyNotExist) {
			return removed, fmt.Errorf("delete from map %s: %w", m, err)
		}
	}
	return removed, nil
}

// ignoreMissing returns the error unless it says that there is no such key.
func ignoreMissing(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// put inserts or replaces an entry.
//
// Since Linux 6.1 an entry comes from a small store of each processor, which the kernel
// fills up again only after it was found empty, and later. So the first answers that
// there is no memory mean little.
func put(m *ebpf.Map, key, value any) error {
	err := m.Put(key, value)
	for wait := time.Millisecond; errors.Is(err, unix.ENOMEM) && wait < 100*time.Millisecond; wait *= 2 {
		time.Sleep(wait)
		err = m.Put(key, value)
	}
	if err != nil {
		return writeError(m, err)
	}
	return nil
}

var errFull = errors.New("full")

// writeError says why a map does not take an entry. That it is full, a hash calls by
// one number and a trie by another.
func writeError(m *ebpf.Map, err error) error {
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOSPC) {
		ranges := ""
		if m.Type() == ebpf.LPMTrie {
			ranges = ", of which a range of ports takes up to 30"
		}
		return fmt.Errorf("map %s is %w: it has room for %d entries%s; publish less", m, errFull, m.MaxEntries(), ranges)
	}
	if errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("there is not enough memory for map %s: %w; free some, or raise the limit of the control group in which xfwd was loaded", m, err)
	}
	return fmt.Errorf("write to map %s: %w", m, err)
}
