// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"errors"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
)

// backend is a step that changes all backends until the end of the case. The
// control plane does so, too, but then clears away the flows that shall not live
// on: what happens to packets in between is seen here.
func backend(change func(*bpf.XfwdBackend)) step {
	return does(func(r *run) {
		r.Helper()
		r.changeBackends(change)
	})
}

// lastBackend is the highest id that a backend of a test gets.
const lastBackend = 64

func (r *run) changeBackends(change func(*bpf.XfwdBackend)) {
	r.Helper()
	put := func(id uint32, b bpf.XfwdBackend) {
		r.Helper()
		if err := r.maps.Backends.Put(id, b); err != nil {
			r.Fatal(err)
		}
	}
	for id := uint32(1); id <= lastBackend; id++ {
		var before bpf.XfwdBackend
		if err := r.maps.Backends.Lookup(id, &before); err != nil {
			r.Fatal(err)
		}
		changed := before
		change(&changed)
		put(id, changed)
		r.Cleanup(func() { put(id, before) })
	}
}

// noBackend is a step: until the end of the case no backend takes new flows.
var noBackend = does(func(r *run) {
	r.Helper()
	r.changeForwards(func(f *bpf.XfwdForward) {
		for version := range f.Pools {
			for family := range f.Pools[version] {
				f.Pools[version][family].Backend, f.Pools[version][family].Table = 0, 0
			}
		}
	})
})

// changeForwards changes all forwards until the end of the case.
func (r *run) changeForwards(change func(*bpf.XfwdForward)) {
	r.Helper()
	put := func(id uint32, f bpf.XfwdForward) {
		r.Helper()
		if err := r.maps.Forwards.Put(id, f); err != nil {
			r.Fatal(err)
		}
	}
	for id := range uint32(lastForward + 1) {
		var before bpf.XfwdForward
		if errors.Is(r.maps.Forwards.Lookup(id, &before), ebpf.ErrKeyNotExist) {
			continue
		}
		changed := before
		change(&changed)
		put(id, changed)
		r.Cleanup(func() { put(id, before) })
	}
}

func TestBackends(t *testing.T) {
	gone := does(func(r *run) {
		backend(func(b *bpf.XfwdBackend) { b.State = uint8(bpf.XfwdBackendStateBACKEND_GONE) }).take(r)
		noBackend.take(r)
	})
	another := backend(func(b *bpf.XfwdBackend) { b.Generation++ })
	forwards := []string{"80/tcp+udp 30080"}
	runCases(t, []testCase{
		{
			name:     "one that is gone keeps established TCP",
			forwards: forwards,
			links:    onlyEthernet,
			steps: slices.Concat(web.handshake(), []step{gone}, web.goodbye(), []step{
				web.isRefused(syn(1)),
			}),
		},
		{
			name:     "one that is gone keeps no other TCP",
			forwards: forwards,
			links:    onlyEthernet,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5000, 1001)),
				gone,
				leaves(web.answer(synAck(5000, 1001))).stays("no-flow"),
				web.isRefused(ack(1001, 5001)),
				flows{},
			},
		},
		{
			name:     "one that is gone keeps no UDP",
			forwards: forwards,
			links:    onlyEthernet,
			steps: []step{
				web.asks(udp("?")).opening(),
				web.answers(udp("!")),
				web.asks(udp("?")), flows{Established: 1},
				gone,
				web.isRefused(udp("?")),
				flows{},
			},
		},
		{
			name:     "another one in its place gets new flows, and keeps none",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				web.asks(udp("?")).opening(),
				another,
				leaves(web.answer(data(5001, 1001, "hello"))).stays("no-flow"),
				web.asks(data(1001, 5001, "hello")).opening(),
				web.asks(udp("?")).opening(),
				flows{Transitory: 2},
			}),
		},
	})
}
