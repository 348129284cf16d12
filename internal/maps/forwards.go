// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"bytes"
	"math"
	"net/netip"
	"time"

	"github.com/xfwd/xfwd/bpf"
)

// Limits of what the maps hold.
const (
	// MaxForwards is the number of forward ids, of which 0 is none.
	MaxForwards = 16384
	// MaxDevices is how many devices a forward can be bound to.
	MaxDevices = len(bpf.XfwdForwardInfo{}.DeviceIfindexes)
	// DevicesSize is how many bytes the names of a forward's devices may have, each with
	// one more.
	DevicesSize = len(bpf.XfwdForwardInfo{}.Devices)
	// MaxComment is the longest comment, in bytes.
	MaxComment = len(bpf.XfwdForwardInfo{}.Comment)
	// MaxAffinityGroup is the number of ids of groups, of which 0 is none.
	MaxAffinityGroup = 1 << 31
)

// NeverDies is the end of a forward that has none.
const NeverDies = math.MaxUint64

// Balance is how a new flow finds its backend.
type Balance uint8

// The choices of a balance.
const (
	BalanceMaglev           = Balance(bpf.XfwdBalanceBALANCE_MAGLEV)
	BalanceRoundRobin       = Balance(bpf.XfwdBalanceBALANCE_ROUND_ROBIN)
	BalanceRandom           = Balance(bpf.XfwdBalanceBALANCE_RANDOM)
	BalanceLeastConnections = Balance(bpf.XfwdBalanceBALANCE_LEAST_CONNECTIONS)
	BalanceSourceHash       = Balance(bpf.XfwdBalanceBALANCE_SOURCE_HASH)
)

// Own is which of this host's own connections a forward takes.
type Own uint8

// The choices of Own.
const (
	OwnAuto   = Own(bpf.XfwdOwnOWN_AUTO)
	OwnAlways = Own(bpf.XfwdOwnOWN_ALWAYS)
	OwnNever  = Own(bpf.XfwdOwnOWN_NEVER)
)

// Source is what the user of a forward asked for as the source address that its
// backends see.
type Source uint8

// The choices of a source.
const (
	SourceAuto       = Source(bpf.XfwdSourceSOURCE_AUTO)
	SourcePreserve   = Source(bpf.XfwdSourceSOURCE_PRESERVE)
	SourceMasquerade = Source(bpf.XfwdSourceSOURCE_MASQUERADE)
)

// Forward is a forward as the kernel holds it. It is alive in the epochs e with
// Born <= e < Dies.
type Forward struct {
	ID         uint32
	Born, Dies uint64
	// In the epochs from Changed on, After holds, and Before until then.
	Changed       uint64
	Before, After Terms
	Protocol      uint8
	// Address is the frontend's; the zero Addr is every address of this host.
	Address             netip.Addr
	PortFirst, PortLast uint16
	Devices             []string
	// Known are what the devices were when a command last saw them, in the order of
	// Devices. It may be shorter, and is zero for what was not there and for patterns.
	Known   []KnownDevice
	Name    string
	Comment string
	Source  Source
	// SourceAddresses are what the user has chosen for masqueraded flows; see PutSourcePools.
	SourceAddresses []netip.Addr
	Balance         Balance
	// Affinity is how long a client stays with its backend, in whole seconds;
	// zero is off.
	Affinity time.Duration
	// AffinityGroup is the name of the group with which the forward shares the machine
	// of a client, or empty; AffinityGroupID is its number, less than MaxAffinityGroup.
	AffinityGroup   string
	AffinityGroupID uint32
}

// What Terms.MSS may be, if it is no number of bytes.
const (
	MSSToMTU = uint16(bpf.XfwdMssMSS_TO_MTU)
	MSSOff   = uint16(bpf.XfwdMssMSS_OFF)
)

// Terms are what of a forward may change while it stays the same.
type Terms struct {
	// Pools are where new flows find their backends.
	Pools Pools
	// ExpiresAt is the second from which on there are no new flows; the zero Time
	// is never.
	ExpiresAt time.Time
	// Expired is set of what was read after that second, by the clock of the programs.
	Expired bool
	Check   Check
	// MSS is the most that ends of TCP connections may announce to each other.
	MSS uint16
	Own Own
}

// Alive says whether the forward is there in an epoch, expired or not.
func (f Forward) Alive(epoch uint64) bool {
	return f.Born <= epoch && epoch < f.Dies
}

// Terms are those of an epoch.
func (f Forward) Terms(epoch uint64) Terms {
	if epoch < f.Changed {
		return f.Before
	}
	return f.After
}

// Forwards reads all forwards, whatever their epochs, by id.
func (s *Set) Forwards() (map[uint32]Forward, error) {
	now, err := monotonic()
	if err != nil {
		return nil, err
	}
	packetPart, err := entries[uint32, bpf.XfwdForward](s.maps.Forwards)
	if err != nil || len(packetPart) == 0 {
		return map[uint32]Forward{}, err
	}
	forwards := make(map[uint32]Forward, len(packetPart))
	// Most of a forward is here, so it is not kept.
	err = batches(s.maps.ForwardInfos, func(id uint32, info bpf.XfwdForwardInfo) bool {
		if k, found := packetPart[id]; found {
			forwards[id] = forwardFromKernel(id, &k, &info, now)
			delete(packetPart, id)
		}
		return true
	})
	// A command that was killed may have left some without.
	for id, k := range packetPart {
		forwards[id] = forwardFromKernel(id, &k, new(bpf.XfwdForwardInfo), now)
	}
	return forwards, err
}

func forwardFromKernel(id uint32, k *bpf.XfwdForward, info *bpf.XfwdForwardInfo, now time.Duration) Forward {
	f := Forward{
		ID:        id,
		Born:      k.Born,
		Dies:      k.Dies,
		Changed:   k.Changed,
		Before:    termsFromKernel(k, info, 0, now),
		After:     termsFromKernel(k, info, 1, now),
		Protocol:  info.Protocol,
		Address:   addressFromKernel(info.Address),
		PortFirst: k.PortFirst,
		PortLast:  k.PortLast,
		Name:      text(info.Name[:]),
		Comment:   text(info.Comment[:]),
		Source:    Source(info.Source),

		SourceAddresses: sourcesFromKernel(info),

		Balance:  Balance(k.Balance),
		Affinity: time.Duration(k.Affinity) * time.Second,

		AffinityGroup:   text(info.AffinityGroup[:]),
		AffinityGroupID: k.AffinityGroup,
	}
	f.Devices, f.Known = devicesFromKernel(info)
	return f
}

// AnyExpired says whether a forward of an epoch has expired. It reads less than
// Forwards.
func (s *Set) AnyExpired(epoch uint64) (bool, error) {
	now, err := monotonic()
	if err != nil {
		return false, err
	}
	packetPart, err := entries[uint32, bpf.XfwdForward](s.maps.Forwards)
	if err != nil {
		return false, err
	}
	for _, k := range packetPart {
		f := Forward{
			Born:    k.Born,
			Dies:    k.Dies,
			Changed: k.Changed,
			Before:  Terms{Expired: hasExpired(&k, 0, now)},
			After:   Terms{Expired: hasExpired(&k, 1, now)},
		}
		if f.Alive(epoch) && f.Terms(epoch).Expired {
			return true, nil
		}
	}
	return false, nil
}

// PutForwards writes forwards. What packets need comes last, and all of one
// forward at once. The programs know no time of day: when a forward expires, they
// are told as it is from now on.
func (s *Set) PutForwards(forwards []Forward) error {
	ends, err := newEnds()
	if err != nil {
		return err
	}
	ids := make([]uint32, len(forwards))
	infos := make([]bpf.XfwdForwardInfo, len(forwards))
	packetParts := make([]bpf.XfwdForward, len(forwards))
	for i, f := range forwards {
		ids[i] = f.ID
		infos[i] = bpf.XfwdForwardInfo{
			Address:  addressToKernel(f.Address),
			Protocol: f.Protocol,
			Source:   uint8(f.Source),
		}
		copy(infos[i].Name[:], f.Name)
		copy(infos[i].Comment[:], f.Comment)
		copy(infos[i].AffinityGroup[:], f.AffinityGroup)
		devicesToKernel(&infos[i], f.Devices, f.Known)
		for n, a := range f.SourceAddresses {
			infos[i].SourceAddresses[n] = addressToKernel(a)
		}
		packetParts[i] = bpf.XfwdForward{
			Born:      f.Born,
			Dies:      f.Dies,
			Changed:   f.Changed,
			Affinity:  uint32(f.Affinity / time.Second),
			PortFirst: f.PortFirst,
			PortLast:  f.PortLast,
			Balance:   uint8(f.Balance),

			AffinityGroup: f.AffinityGroupID,
		}
		for version, terms := range [2]Terms{f.Before, f.After} {
			terms.toKernel(&packetParts[i], &infos[i], version, ends)
		}
	}
	if err := putAll(s.maps.ForwardInfos, ids, infos); err != nil {
		return err
	}
	return putAll(s.maps.Forwards, ids, packetParts)
}

// DeleteForwards removes what PutForwards wrote, and what the forwards have
// dropped.
func (s *Set) DeleteForwards(ids []uint32) error {
	if len(ids) == 0 {
		return nil
	}
	if err := removeAll(s.maps.Forwards, ids); err != nil {
		return err
	}
	if err := s.deleteDrops(ids); err != nil {
		return err
	}
	if err := removeAll(s.maps.SetupTimes, ids); err != nil {
		return err
	}
	return removeAll(s.maps.ForwardInfos, ids)
}

// text returns a string of the kernel, which zeroes fill up.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
