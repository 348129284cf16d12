// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// The control plane computes the hash that the programs do, whatever the packet:
// with a table in which every entry has a port of its own, the target's port says
// what its hash was.
func TestHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The largest prime that is a port, so nearly all of the hash's bits matter.
	const size = 65521
	table, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: size, Flags: unix.BPF_F_INNER_MAP})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	indexes, ids, slots := make([]uint32, size), make([]uint32, size), make([]bpf.XfwdBackend, size)
	for i := range indexes {
		indexes[i], ids[i] = uint32(i), uint32(i+1)
		slots[i] = bpf.XfwdBackend{PortFirst: uint16(i), PortLast: uint16(i)}
	}
	if _, err := table.BatchUpdate(indexes, ids, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.maps.Backends.BatchUpdate(ids, slots, nil); err != nil {
		t.Fatal(err)
	}
	const key = 1000
	byTable := func(balance bpf.XfwdBalance) step {
		return does(func(r *run) {
			// The control plane removes what it does not know.
			if err := r.maps.BackendTables.Put(uint32(key), uint32(table.FD())); err != nil {
				r.Fatal(err)
			}
			r.changeForwards(func(f *bpf.XfwdForward) {
				f.Balance = uint8(balance)
				for version := range f.Pools {
					for family := range f.Pools[version] {
						p := &f.Pools[version][family]
						p.Backend, p.Table, p.Size = 0, key, size
					}
				}
			})
		})
	}
	hashes := func(hash func(r *run, from, to endpoint, protocol uint8) uint32) step {
		return does(func(r *run) {
			source := rand.New(rand.NewPCG(uint64(r.family), 3))
			for range 1000 {
				from, to := anyone(source), host.at(1+source.IntN(65535))
				for protocol, b := range map[uint8]body{protocolUDP: udp("?"), 6: syn(1)} {
					if got, want := r.sends(from, to.port, b), hash(r, from, to, protocol)%size; got != int(want) {
						r.Fatalf("%v:%d to port %d: the hash is %d, the control plane's %d", from.address(r.family), from.port, to.port, got, want)
					}
				}
			}
		})
	}
	w.runCases(t, []testCase{
		spreading("of the tuple", "1-65535/tcp+udp 1", byTable(bpf.XfwdBalanceBALANCE_MAGLEV), hashes(func(r *run, from, to endpoint, protocol uint8) uint32 {
			return xfwd.HashOfTuple(r.tuple(from, to, protocol))
		})),
		spreading("of the source", "1-65535/tcp+udp 1", byTable(bpf.XfwdBalanceBALANCE_SOURCE_HASH), hashes(func(r *run, from, _ endpoint, _ uint8) uint32 {
			return xfwd.HashOfSource(from.address(r.family))
		})),
	})
}
