// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// Limits of what the maps hold.
const (
	// MaxForwards is the number of forward ids, of which 0 is none.
	MaxForwards = 16384
	// MaxBackends is the number of backend ids, of which 0 is none.
	MaxBackends = 65536
	// MaxDevices is how many devices a forward can be bound to.
	MaxDevices = len(bpf.XfwdForwardInfo{}.Devices)
	// MaxComment is the longest comment, in bytes.
	MaxComment = len(bpf.XfwdForwardInfo{}.Comment)
)

// NeverDies is the end of a forward that has none.
const NeverDies = math.MaxUint64

// Forward is a forward as the kernel holds it. It is alive in the epochs e with
// Born <= e < Dies.
type Forward struct {
	ID         uint32
	Born, Dies uint64
	Protocol   uint8
	// Address is the frontend's; the zero Addr is every address of this host.
	Address             netip.Addr
	PortFirst, PortLast uint16
	// PortByPort: the n-th port of the frontend goes to the n-th of the backend.
	PortByPort bool
	// Backend is the id of the backend.
	Backend uint32
	Devices []string
	Name    string
	Comment string
	// Preserve is set when the user asked for the client's address to be kept.
	Preserve bool
}

// Alive says whether packets use the forward in an epoch.
func (f Forward) Alive(epoch uint64) bool {
	return f.Born <= epoch && epoch < f.Dies
}

// Forwards reads all forwards, whatever their epochs, by id.
func (s *Set) Forwards() (map[uint32]Forward, error) {
	packetPart, err := entries[uint32, bpf.XfwdForward](s.maps.Forwards)
	if err != nil {
		return nil, err
	}
	infos, err := entries[uint32, bpf.XfwdForwardInfo](s.maps.ForwardInfos)
	if err != nil {
		return nil, err
	}
	forwards := make(map[uint32]Forward, len(packetPart))
	for id, k := range packetPart {
		info := infos[id]
		f := Forward{
			ID:         id,
			Born:       k.Born,
			Dies:       k.Dies,
			Protocol:   info.Protocol,
			Address:    addressFromKernel(info.Address),
			PortFirst:  k.PortFirst,
			PortLast:   k.PortLast,
			PortByPort: k.Flags&uint8(bpf.XfwdForwardFlagFORWARD_PORT_BY_PORT) != 0,
			Backend:    k.Backend,
			Name:       text(info.Name[:]),
			Comment:    text(info.Comment[:]),
			Preserve:   info.Source == uint8(bpf.XfwdSourceSOURCE_PRESERVE),
		}
		for i := range info.Devices {
			if name := text(info.Devices[i][:]); name != "" {
				f.Devices = append(f.Devices, name)
			}
		}
		forwards[id] = f
	}
	return forwards, nil
}

// PutForward writes a forward. What packets need comes last.
func (s *Set) PutForward(f Forward) error {
	info := bpf.XfwdForwardInfo{
		Address:  addressToKernel(f.Address),
		Protocol: f.Protocol,
	}
	if f.Preserve {
		info.Source = uint8(bpf.XfwdSourceSOURCE_PRESERVE)
	}
	copy(info.Name[:], f.Name)
	copy(info.Comment[:], f.Comment)
	for i, device := range f.Devices {
		copy(info.Devices[i][:], device)
	}
	if err := put(s.maps.ForwardInfos, f.ID, info); err != nil {
		return err
	}
	k := bpf.XfwdForward{
		Born:      f.Born,
		Dies:      f.Dies,
		Backend:   f.Backend,
		PortFirst: f.PortFirst,
		PortLast:  f.PortLast,
	}
	if f.PortByPort {
		k.Flags |= uint8(bpf.XfwdForwardFlagFORWARD_PORT_BY_PORT)
	}
	return put(s.maps.Forwards, f.ID, k)
}

// DeleteForward removes what PutForward wrote, and what the forward has dropped.
func (s *Set) DeleteForward(id uint32) error {
	if err := remove(s.maps.Forwards, id); err != nil {
		return err
	}
	if err := s.deleteDrops(id); err != nil {
		return err
	}
	return remove(s.maps.ForwardInfos, id)
}

// BackendState says what flows of a backend may do.
type BackendState uint8

// The states of a backend slot.
const (
	// BackendActive takes new flows.
	BackendActive = BackendState(bpf.XfwdBackendStateBACKEND_ACTIVE)
	// BackendGone has only the established TCP flows that it had.
	BackendGone = BackendState(bpf.XfwdBackendStateBACKEND_GONE)
)

// Backend is a backend slot.
type Backend struct {
	ID uint32
	// Address is the zero Addr for this host, whatever the address that the
	// client used.
	Address             netip.Addr
	PortFirst, PortLast uint16
	// Generation tells apart what had the slot one after the other. It only grows.
	Generation uint32
	State      BackendState
}

// Backend reads a backend slot.
func (s *Set) Backend(id uint32) (Backend, error) {
	var k bpf.XfwdBackend
	if err := s.maps.Backends.Lookup(id, &k); err != nil {
		return Backend{}, fmt.Errorf("read backend %d: %w", id, err)
	}
	return Backend{
		ID:         id,
		Address:    addressFromKernel(k.Address),
		PortFirst:  k.PortFirst,
		PortLast:   k.PortLast,
		Generation: k.Generation,
		State:      BackendState(k.State),
	}, nil
}

// PutBackend writes a backend slot.
func (s *Set) PutBackend(b Backend) error {
	return put(s.maps.Backends, b.ID, bpf.XfwdBackend{
		Address:    addressToKernel(b.Address),
		PortFirst:  b.PortFirst,
		PortLast:   b.PortLast,
		Generation: b.Generation,
		State:      uint8(b.State),
	})
}

// text returns a string of the kernel, which zeroes fill up.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
