// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// Use is how many entries a map has, of those that it has room for.
type Use struct {
	Name              string
	Entries, Capacity uint64
}

// Usage counts the entries of all maps that can be full. The flow table is among
// them, so it calls yield for every flow as Flows does, lest that be read twice.
func (s *Set) Usage(yield func(Flow) bool) ([]Use, error) {
	flows, err := s.CountFlows(yield)
	if err != nil {
		return nil, err
	}
	usage := []Use{
		{"flows_established", flows[Established], uint64(s.maps.FlowsEstablished.MaxEntries())},
		{"flows_transitory", flows[Transitory], uint64(s.maps.FlowsTransitory.MaxEntries())},
	}
	for _, counted := range []struct {
		name  string
		m     *ebpf.Map
		count func(*ebpf.Map) (uint64, error)
	}{
		{"answered_clients", s.maps.AnsweredClients, count[bpf.XfwdAddress, bpf.XfwdAnswerBuckets]},
		{"affinities", s.maps.Affinities, count[bpf.XfwdAffinityKey, bpf.XfwdAffinity]},
		{"backend_infos", s.maps.BackendInfos, count[uint32, bpf.XfwdBackendInfo]},
		{"backend_tables", s.maps.BackendTables, countKeys},
		{"devices", s.maps.Devices, count[uint32, bpf.XfwdDevice]},
		{"forward_drops", s.maps.ForwardDrops, count[bpf.XfwdForwardReasonKey, uint64]},
		{"forwards", s.maps.Forwards, count[uint32, bpf.XfwdForward]},
		{"fragments", s.maps.Fragments, count[bpf.XfwdFragmentKey, bpf.XfwdFragment]},
		{"frontend_ranges", s.maps.FrontendRanges, countRanges},
		{"frontends", s.maps.Frontends, count[bpf.XfwdFrontendKey, bpf.XfwdFrontend]},
		{"more_backend_counters", s.maps.MoreBackendCounters, countKeys},
		{"group_backends", s.maps.GroupBackends, count[bpf.XfwdGroupBackendKey, bpf.XfwdGroupBackend]},
		{"new_affinities", s.maps.NewAffinities, count[bpf.XfwdAffinityKey, bpf.XfwdAffinity]},
		{"known_addresses", s.maps.KnownAddresses, count[bpf.XfwdAddress, bpf.XfwdKnownAddress]},
		{"local_prefixes", s.maps.LocalPrefixes, countPrefixes},
		{"loopback_listeners", s.maps.LoopbackListeners, count[bpf.XfwdListener, uint8]},
		{"setup_times", s.maps.SetupTimes, countKeys},
		{"source_pools", s.maps.SourcePools, count[bpf.XfwdSourcePoolKey, bpf.XfwdSourcePool]},
		{"socket_peers", s.maps.SocketPeers, count[bpf.XfwdSocketPeerKey, bpf.XfwdSocketPeer]},
		{"xdp_devices", s.maps.XdpDevices, countKeys},
	} {
		entries, err := counted.count(counted.m)
		if err != nil {
			return nil, err
		}
		usage = append(usage, Use{counted.name, entries, uint64(counted.m.MaxEntries())})
	}
	return usage, nil
}

// count counts the entries of a hash map.
func count[K comparable, V any](m *ebpf.Map) (uint64, error) {
	var n uint64
	err := batches(m, func(K, V) bool {
		n++
		return true
	})
	return n, err
}

func countRanges(m *ebpf.Map) (uint64, error) {
	all, err := entries[bpf.XfwdFrontendRangeKey, bpf.XfwdFrontend](m)
	return uint64(len(all)), err
}

func countPrefixes(m *ebpf.Map) (uint64, error) {
	all, err := entries[bpf.XfwdLocalPrefixKey, uint8](m)
	return uint64(len(all)), err
}

// countKeys counts the entries of a map that cannot be read in batches and has
// numbers for keys.
func countKeys(m *ebpf.Map) (uint64, error) {
	var n uint64
	var key uint32
	err := m.NextKey(nil, &key)
	for ; err == nil; err = m.NextKey(key, &key) {
		n++
	}
	if err := ignoreMissing(err); err != nil {
		return 0, fmt.Errorf("read map %s: %w", m, err)
	}
	return n, nil
}
