// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// Layout is the version of the layout that this package reads and writes; it
// follows LAYOUT_VERSION of abi.h.
const Layout = 4

// Settings are what the dataplane is told when it is loaded, and the epoch.
type Settings struct {
	// Epoch is the number of the last committed change.
	Epoch uint64
	// Primary4 and Primary6 are the host's own addresses; the zero Addr is none.
	Primary4, Primary6 netip.Addr
	Layout             uint32
	// MaxFlows is how many flows the flow table is made for.
	MaxFlows uint32
	// NetNSCookie is the kernel's number of the network namespace.
	NetNSCookie uint64
	// Build identifies the programs.
	Build uint64
	// RouteGeneration is raised when routes, links or neighbours have changed:
	// the programs then look every next hop up again.
	RouteGeneration uint32
	// Masquerade are the ports that masqueraded flows get, and Ephemeral those
	// that the kernel gives to the host's own sockets.
	Masquerade, Ephemeral PortRange
	// MSS4 and MSS6 are the smallest MSS that a rule of netfilter sets, by family; 0 is none.
	MSS4, MSS6 uint16
}

// PortRange is a range of ports in host order, both ends included.
type PortRange struct{ First, Last uint16 }

// Settings reads the settings.
func (s *Set) Settings() (Settings, error) {
	var k bpf.XfwdSettings
	if err := s.maps.Settings.Lookup(uint32(0), &k); err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	return Settings{
		Epoch:       k.Epoch,
		Primary4:    addressFromKernel(k.Primary4),
		Primary6:    addressFromKernel(k.Primary6),
		Layout:      k.Layout,
		MaxFlows:    k.MaxFlows,
		NetNSCookie: k.NetnsCookie,
		Build:       k.Build,

		RouteGeneration: k.RouteGeneration,
		Masquerade:      PortRange{k.MasqueradeFirst, k.MasqueradeLast},
		Ephemeral:       PortRange{k.EphemeralFirst, k.EphemeralLast},
		MSS4:            k.Mss4,
		MSS6:            k.Mss6,
	}, nil
}

// Origin is what every layout has at the same place in the settings.
type Origin struct {
	Layout      uint32
	NetNSCookie uint64
}

// ReadOrigin reads it from a settings map, of whatever layout.
func ReadOrigin(settings *ebpf.Map) (Origin, error) {
	var k bpf.XfwdSettings
	value, err := settings.LookupBytes(uint32(0))
	if err != nil {
		return Origin{}, fmt.Errorf("read settings: %w", err)
	}
	if end := int(unsafe.Offsetof(k.NetnsCookie) + unsafe.Sizeof(k.NetnsCookie)); len(value) < end {
		return Origin{}, fmt.Errorf("read settings: %d bytes are too few", len(value))
	}
	return Origin{
		Layout:      binary.NativeEndian.Uint32(value[unsafe.Offsetof(k.Layout):]),
		NetNSCookie: binary.NativeEndian.Uint64(value[unsafe.Offsetof(k.NetnsCookie):]),
	}, nil
}

// ID is the kernel's number of the settings map, which no other dataplane has while
// this one is there.
func (s *Set) ID() (uint32, error) {
	info, err := s.maps.Settings.Info()
	if err != nil {
		return 0, fmt.Errorf("ask for the number of the settings map: %w", err)
	}
	id, found := info.ID()
	if !found {
		return 0, errors.New("the kernel does not number maps")
	}
	return uint32(id), nil
}

// PutSettings writes all settings, the epoch too. A packet may see a mix of
// old and new values, so the epoch must be the one that is there already.
func (s *Set) PutSettings(v Settings) error {
	return put(s.maps.Settings, uint32(0), bpf.XfwdSettings{
		Epoch:       v.Epoch,
		Primary4:    addressToKernel(v.Primary4),
		Primary6:    addressToKernel(v.Primary6),
		Layout:      v.Layout,
		MaxFlows:    v.MaxFlows,
		NetnsCookie: v.NetNSCookie,
		Build:       v.Build,

		RouteGeneration: v.RouteGeneration,
		MasqueradeFirst: v.Masquerade.First,
		MasqueradeLast:  v.Masquerade.Last,
		EphemeralFirst:  v.Ephemeral.First,
		EphemeralLast:   v.Ephemeral.Last,
		Mss4:            v.MSS4,
		Mss6:            v.MSS6,
	})
}

// Commit stores the epoch, and nothing else, in one aligned 8-byte write: the
// moment at which a prepared change takes place.
func (s *Set) Commit(epoch uint64) error {
	var k bpf.XfwdSettings
	page, err := unix.Mmap(s.maps.Settings.FD(), 0, int(unsafe.Sizeof(k)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map settings into memory: %w", err)
	}
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&page[unsafe.Offsetof(k.Epoch)])), epoch)
	return unix.Munmap(page)
}
