// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"testing"

	"github.com/cilium/ebpf"
)

// However few are read at once, a map is read to its end, and no entry twice; also
// where a bucket of its hash has more.
func TestBatches(t *testing.T) {
	const count = 1000
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: count})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	keys, values := make([]uint32, count), make([]uint64, count)
	for i := range keys {
		keys[i], values[i] = uint32(i), uint64(i)*7
	}
	if err := putAll(m, keys, values); err != nil {
		t.Fatal(err)
	}
	for _, first := range []int{1, firstBatch, 2 * lastBatch} {
		seen := make(map[uint32]bool)
		err := batchesFrom(m, first, func(key uint32, value uint64) bool {
			if seen[key] || value != uint64(key)*7 {
				t.Errorf("%d at once: %d comes with %d, again %v", first, key, value, seen[key])
			}
			seen[key] = true
			return true
		})
		if err != nil || len(seen) != count {
			t.Errorf("%d at once: %d entries, %v", first, len(seen), err)
		}
	}
}
