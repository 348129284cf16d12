// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// fragmentTimeout is that of config.h.
const fragmentTimeout = 30 * time.Second

// SweepFlows forgets those of some flows that have expired and were not used since they
// were read, and returns how many.
func (s *Set) SweepFlows(flows []Flow) (int, error) {
	var expired []Flow
	for _, f := range flows {
		if !f.Expired() {
			continue
		}
		m := s.flowTables()[Transitory]
		if f.Established {
			m = s.flowTables()[Established]
		}
		var k bpf.XfwdFlow
		switch err := m.Lookup(f.key, &k); {
		case errors.Is(err, ebpf.ErrKeyNotExist):
		case err != nil:
			return 0, fmt.Errorf("read map %s: %w", m, err)
		case k.LastSeen == f.lastSeen:
			expired = append(expired, f)
		}
	}
	return len(expired), s.ForgetFlows(expired)
}

// SweepFragments forgets the datagrams whose last fragments have not come in time, and
// returns how many.
func (s *Set) SweepFragments() (int, error) {
	now, err := monotonic()
	if err != nil {
		return 0, err
	}
	var old []bpf.XfwdFragmentKey
	err = batches(s.maps.Fragments, func(key bpf.XfwdFragmentKey, f bpf.XfwdFragment) bool {
		if now-time.Duration(f.Seen) > fragmentTimeout {
			old = append(old, key)
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	return len(old), removeAll(s.maps.Fragments, old)
}
