// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// MaxBackends is the number of backend ids, of which 0 is none.
const MaxBackends = 65536

// BackendState says what flows a backend may have.
type BackendState uint8

// The states of a backend.
const (
	// BackendActive takes new flows.
	BackendActive = BackendState(bpf.XfwdBackendStateBACKEND_ACTIVE)
	// BackendDraining has only the flows that it had.
	BackendDraining = BackendState(bpf.XfwdBackendStateBACKEND_DRAINING)
	// BackendGone has only the established TCP flows that it had.
	BackendGone = BackendState(bpf.XfwdBackendStateBACKEND_GONE)
)

// BackendSource says which source address a backend sees that is not this host.
// One that asks for its own service never sees its own address.
type BackendSource uint8

// The choices of a source.
const (
	// BackendKeepsSource sees the client's address.
	BackendKeepsSource = BackendSource(bpf.XfwdBackendSourceBACKEND_KEEPS_SOURCE)
	// BackendKeepsSourceAcross does, unless the client came by the device that
	// leads to the backend.
	BackendKeepsSourceAcross = BackendSource(bpf.XfwdBackendSourceBACKEND_KEEPS_SOURCE_ACROSS)
	// BackendMasquerades sees an address of this host.
	BackendMasquerades = BackendSource(bpf.XfwdBackendSourceBACKEND_MASQUERADES)
)

// Health is what checks have found out about a backend.
type Health uint8

// What is known of a backend.
const (
	HealthUnknown = Health(bpf.XfwdHealthHEALTH_UNKNOWN)
	HealthUp      = Health(bpf.XfwdHealthHEALTH_UP)
	HealthDown    = Health(bpf.XfwdHealthHEALTH_DOWN)
)

// Backend is the slot of a backend, as packets see it.
type Backend struct {
	ID uint32
	// Address is the zero Addr for this host, whatever the address that the
	// client used.
	Address             netip.Addr
	PortFirst, PortLast uint16
	// Generation tells apart what had the slot one after the other, and flows
	// from those that were made before they had to end. It only grows.
	Generation uint32
	// Weight is for BalanceLeastConnections.
	Weight uint16
	State  BackendState
	Source BackendSource
	// Masquerade is the host's address for this backend; the zero Addr is that
	// of the device which leads there.
	Masquerade netip.Addr
}

// Backends reads the slots up to a last id, in use or not. The id is the index.
func (s *Set) Backends(last uint32) ([]Backend, error) {
	slots := make([]bpf.XfwdBackend, last+1)
	if err := readArray(s.maps.Backends, slots); err != nil {
		return nil, err
	}
	backends := make([]Backend, len(slots))
	for id, k := range slots {
		backends[id] = Backend{
			ID:         uint32(id),
			Address:    addressFromKernel(k.Address),
			PortFirst:  k.PortFirst,
			PortLast:   k.PortLast,
			Generation: k.Generation,
			Weight:     k.Weight,
			State:      BackendState(k.State),
			Source:     BackendSource(k.Source),
			Masquerade: addressFromKernel(k.Masquerade),
		}
	}
	return backends, nil
}

// PutBackends writes slots.
func (s *Set) PutBackends(backends []Backend) error {
	ids, slots := make([]uint32, len(backends)), make([]bpf.XfwdBackend, len(backends))
	for i, b := range backends {
		ids[i] = b.ID
		slots[i] = bpf.XfwdBackend{
			Address:    addressToKernel(b.Address),
			Masquerade: addressToKernel(b.Masquerade),
			Generation: b.Generation,
			PortFirst:  b.PortFirst,
			PortLast:   b.PortLast,
			Weight:     b.Weight,
			State:      uint8(b.State),
			Source:     uint8(b.Source),
		}
	}
	return putAll(s.maps.Backends, ids, slots)
}

// PutConnections writes how many connections backends have, for
// BalanceLeastConnections.
func (s *Set) PutConnections(connections map[uint32]int64) error {
	var ids []uint32
	var counts []int64
	for id, n := range connections {
		ids, counts = append(ids, id), append(counts, n)
	}
	return putAll(s.maps.BackendConnections, ids, counts)
}

// BackendRole is what a backend is to its forward.
type BackendRole struct {
	// Position is its place among the others, as their user ordered them.
	Position uint32
	Weight   uint16
	// State is what its user wants of it.
	State BackendState
	// Health is what checks have found out.
	Health Health
}

// Serves is the state that the role gives a backend: what is down is drained.
func (r BackendRole) Serves() BackendState {
	if r.State == BackendActive && r.Health == HealthDown {
		return BackendDraining
	}
	return r.State
}

// BackendInfo is what only the control plane must know of a slot. A slot that has
// none is free.
type BackendInfo struct {
	// Backend and Forward are ids.
	Backend, Forward uint32
	// In the epochs from Changed on, the backend has the role After, and Before
	// until then.
	Changed       uint64
	Before, After BackendRole
}

// Role is the role in an epoch.
func (i BackendInfo) Role(epoch uint64) BackendRole {
	if epoch < i.Changed {
		return i.Before
	}
	return i.After
}

// BackendInfos reads those of all slots in use, by id.
func (s *Set) BackendInfos() (map[uint32]BackendInfo, error) {
	all, err := entries[uint32, bpf.XfwdBackendInfo](s.maps.BackendInfos)
	if err != nil {
		return nil, err
	}
	infos := make(map[uint32]BackendInfo, len(all))
	for id, k := range all {
		role := func(i int) BackendRole {
			return BackendRole{
				Position: k.Position[i],
				Weight:   k.Weight[i],
				State:    BackendState(k.State[i]),
				Health:   Health(k.Health[i]),
			}
		}
		infos[id] = BackendInfo{Backend: id, Forward: k.Forward, Changed: k.Changed, Before: role(0), After: role(1)}
	}
	return infos, nil
}

// PutBackendInfos writes infos, which takes their slots into use.
func (s *Set) PutBackendInfos(infos []BackendInfo) error {
	ids, values := make([]uint32, len(infos)), make([]bpf.XfwdBackendInfo, len(infos))
	for i, info := range infos {
		ids[i] = info.Backend
		values[i] = bpf.XfwdBackendInfo{Changed: info.Changed, Forward: info.Forward}
		for n, role := range [2]BackendRole{info.Before, info.After} {
			values[i].Position[n] = role.Position
			values[i].Weight[n] = role.Weight
			values[i].State[n] = uint8(role.State)
			values[i].Health[n] = uint8(role.Health)
		}
	}
	return putAll(s.maps.BackendInfos, ids, values)
}

// DeleteBackendInfos frees slots.
func (s *Set) DeleteBackendInfos(ids []uint32) error {
	if err := removeAll(s.maps.BackendInfos, ids); err != nil {
		return err
	}
	// Most have theirs elsewhere, where it takes no more room.
	return removeAll(s.maps.MoreBackendCounters, ids)
}
