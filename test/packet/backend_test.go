// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// backend is a step that changes the backends of all flows until the end of the
// case. The control plane does so, too, but then clears away the flows that shall
// not live on: what happens to packets in between is seen here.
func backend(change func(*xfwd.Backend)) step {
	return does(func(r *run) {
		r.Helper()
		ids := make(map[uint32]bool)
		err := r.set.Flows(func(f xfwd.Flow) bool {
			ids[f.Backend] = f.Backend != 0
			return true
		})
		if err != nil {
			r.Fatal(err)
		}
		for id, is := range ids {
			if !is {
				continue
			}
			b, err := r.set.Backend(id)
			if err != nil {
				r.Fatal(err)
			}
			changed := b
			change(&changed)
			if err := r.set.PutBackend(changed); err != nil {
				r.Fatal(err)
			}
			r.Cleanup(func() {
				if err := r.set.PutBackend(b); err != nil {
					r.Error(err)
				}
			})
		}
	})
}

func TestBackends(t *testing.T) {
	gone := backend(func(b *xfwd.Backend) { b.State = xfwd.BackendGone })
	another := backend(func(b *xfwd.Backend) { b.Generation++ })
	forwards := []string{"80/tcp+udp 30080"}
	runCases(t, []testCase{
		{
			name:     "one that is gone keeps established TCP",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{gone}, web.goodbye(), []step{
				refused(web.client, web.frontend, syn(1)),
			}),
		},
		{
			name:     "one that is gone keeps no other TCP",
			forwards: forwards,
			steps: []step{
				web.asks(syn(1000)).opening(),
				web.answers(synAck(5000, 1001)),
				gone,
				leaves(web.answer(synAck(5000, 1001))).stays("no-flow"),
				refused(web.client, web.frontend, ack(1001, 5001)),
				flows{},
			},
		},
		{
			name:     "one that is gone keeps no UDP",
			forwards: forwards,
			steps: []step{
				web.asks(udp("?")).opening(),
				web.answers(udp("!")),
				web.asks(udp("?")), flows{Established: 1},
				gone,
				refused(web.client, web.frontend, udp("?")),
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
