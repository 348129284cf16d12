// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// Counters are the traffic of one forward or one backend, as it is on the wire.
type Counters struct {
	ForwardPackets, ForwardBytes uint64
	ReversePackets, ReverseBytes uint64
	// Opened is how many flows were made.
	Opened uint64
}

// Counters reads those of all forwards up to a last id, all CPUs together. The id is the
// index.
func (s *Set) Counters(last uint32) ([]Counters, error) {
	return readCounters(s.maps.Counters, last)
}

// BackendCounters reads those of all backends up to a last id, all CPUs together. The id
// is the index; what is not in use may have any.
func (s *Set) BackendCounters(last uint32) ([]Counters, error) {
	few := s.maps.BackendCounters.MaxEntries()
	all, err := readCounters(s.maps.BackendCounters, min(last, few-1))
	if err != nil || last < few {
		return all, err
	}
	all = append(all, make([]Counters, last+1-few)...)
	more := s.maps.MoreBackendCounters
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	var cursor ebpf.MapBatchCursor
	ids, perCPU := make([]uint32, lastBatch), make([]bpf.XfwdCounters, lastBatch*cpus)
	for {
		n, err := more.BatchLookup(&cursor, ids, perCPU, nil)
		for i, id := range ids[:n] {
			if id <= last {
				all[id] = sum(perCPU[i*cpus : (i+1)*cpus])
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", more, err)
		}
	}
}

// readCounters reads the first counters of an array.
func readCounters(m *ebpf.Map, last uint32) ([]Counters, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	all, perCPU := make([]Counters, last+1), make([]bpf.XfwdCounters, (int(last)+1)*cpus)
	var cursor ebpf.MapBatchCursor
	switch _, err := m.BatchLookup(&cursor, make([]uint32, len(all)), perCPU, nil); {
	case errors.Is(err, ebpf.ErrNotSupported): // of such maps, before Linux 5.13
		for id := range all {
			one := perCPU[id*cpus : (id+1)*cpus]
			if err := m.Lookup(uint32(id), &one); err != nil {
				return nil, fmt.Errorf("read map %s: %w", m, err)
			}
			all[id] = sum(one)
		}
		return all, nil
	case ignoreMissing(err) != nil:
		return nil, fmt.Errorf("read map %s: %w", m, err)
	}
	for id := range all {
		all[id] = sum(perCPU[id*cpus : (id+1)*cpus])
	}
	return all, nil
}

func sum(perCPU []bpf.XfwdCounters) Counters {
	var sum Counters
	for _, k := range perCPU {
		sum.ForwardPackets += k.ForwardPackets
		sum.ForwardBytes += k.ForwardBytes
		sum.ReversePackets += k.ReversePackets
		sum.ReverseBytes += k.ReverseBytes
		sum.Opened += k.Opened
	}
	return sum
}

// backendCounters is the map that has the counters of a backend.
func (s *Set) backendCounters(backend uint32) *ebpf.Map {
	if backend < s.maps.BackendCounters.MaxEntries() {
		return s.maps.BackendCounters
	}
	return s.maps.MoreBackendCounters
}

// ResetCounters makes ids ready for new forwards.
func (s *Set) ResetCounters(forwards []uint32) error {
	return resetCounters(s.maps.Counters, forwards)
}

// ResetBackendCounters makes ids ready for new backends.
func (s *Set) ResetBackendCounters(backends []uint32) error {
	ids := make(map[*ebpf.Map][]uint32)
	for _, id := range backends {
		m := s.backendCounters(id)
		ids[m] = append(ids[m], id)
	}
	for m, ids := range ids {
		if err := resetCounters(m, ids); err != nil {
			return err
		}
	}
	return nil
}

func resetCounters(m *ebpf.Map, ids []uint32) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	return putAllPerCPU(m, ids, make([]bpf.XfwdCounters, len(ids)*cpus))
}

// deleteDrops forgets what forwards have dropped.
func (s *Set) deleteDrops(forwards []uint32) error {
	all, err := entries[bpf.XfwdForwardReasonKey, uint64](s.maps.ForwardDrops)
	if err != nil {
		return err
	}
	gone := make(map[uint32]bool, len(forwards))
	for _, id := range forwards {
		gone[id] = true
	}
	var keys []bpf.XfwdForwardReasonKey
	for key := range all {
		if gone[key.Forward] {
			keys = append(keys, key)
		}
	}
	return removeAll(s.maps.ForwardDrops, keys)
}

// Drops reads how many packets each forward has dropped, by reason.
func (s *Set) Drops() (map[uint32]map[string]uint64, error) {
	all, err := entries[bpf.XfwdForwardReasonKey, uint64](s.maps.ForwardDrops)
	if err != nil {
		return nil, err
	}
	drops := make(map[uint32]map[string]uint64)
	for key, packets := range all {
		if drops[key.Forward] == nil {
			drops[key.Forward] = make(map[string]uint64)
		}
		drops[key.Forward][reasonName(key.Reason)] = packets
	}
	return drops, nil
}

// Reasons reads how many packets left us otherwise than translated: those that
// were passed on as they were, and those that were dropped. A number without a name,
// which programs of a newer build may count, is there if it has packets.
func (s *Set) Reasons() (passes, drops map[string]uint64, err error) {
	passes, drops = make(map[string]uint64), make(map[string]uint64)
	for reason := range s.maps.Reasons.MaxEntries() {
		var perCPU []uint64
		if err := s.maps.Reasons.Lookup(reason, &perCPU); err != nil {
			return nil, nil, fmt.Errorf("read reasons: %w", err)
		}
		var sum uint64
		for _, n := range perCPU {
			sum += n
		}
		switch {
		case sum == 0 && !knownReason(reason):
		case reason < uint32(firstDrop):
			passes[reasonName(reason)] = sum
		default:
			drops[reasonName(reason)] = sum
		}
	}
	return passes, drops, nil
}
