// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// ends is a step: the forwards whose frontends begin with a port expire after these
// times, before the epoch that begins next and from that on; 0 is never. The clock of the
// programs is coarse.
func ends(port uint16, before, after time.Duration) step {
	return does(func(r *run) {
		r.Helper()
		settings, err := r.set.Settings()
		if err != nil {
			r.Fatal(err)
		}
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			r.Fatal(err)
		}
		r.changeForwards(func(f *bpf.XfwdForward) {
			if f.PortFirst != port {
				return
			}
			f.Changed, f.Pools[0] = settings.Epoch+1, f.Pools[1]
			for version, after := range []time.Duration{before, after} {
				f.Expires[version] = math.MaxUint64
				if after != 0 {
					f.Expires[version] = uint64(time.Duration(now.Nano()) + after)
				}
			}
		})
	})
}

// From its expiry on a forward is as if it were deleted, though no command has run.
func TestForwardsThatExpire(t *testing.T) {
	const past, future, never = -time.Second, time.Hour, 0
	forwards := []string{"80/tcp+udp 30080"}
	commit := settings(func(s *xfwd.Settings) { s.Epoch++ })
	later := through(client.at(40001), host.at(80), host.at(30080))
	is := func(port int, b body) step { return refused(client.at(port), host.at(80), b) }
	runCases(t, []testCase{
		{
			name:     "not yet",
			forwards: forwards,
			steps:    slices.Concat([]step{ends(80, future, never)}, web.handshake(), []step{commit}, later.handshake()),
		},
		{
			name:     "new flows are refused",
			forwards: forwards,
			steps:    []step{ends(80, past, never), is(40000, syn(1)), is(40000, ack(1, 1)), is(40000, udp("?")), flows{}},
		},
		{
			name:     "what is established lives on",
			forwards: forwards,
			steps: slices.Concat(web.handshake(), []step{
				ends(80, past, past),
				is(40001, syn(1)),
				web.asks(data(1001, 5001, "still here")),
				web.answers(data(5001, 1011, "so am I")),
				flows{Established: 1},
			}),
		},
		{
			name:     "and to its end, as the next does not begin",
			forwards: forwards,
			steps:    slices.Concat(web.handshake(), []step{ends(80, past, past)}, web.goodbye(), []step{is(40000, syn(9000))}),
		},
		{
			name:     "a change of the end takes place at one moment",
			forwards: forwards,
			steps:    slices.Concat(web.handshake(), []step{ends(80, never, past)}, later.handshake(), []step{commit, is(40002, syn(1))}),
		},
		{
			name:     "and so does a renewal",
			forwards: forwards,
			steps:    slices.Concat([]step{ends(80, past, future), is(40000, syn(1)), commit}, web.handshake()),
		},
		{
			name:     "the next in precedence takes its clients",
			forwards: []string{"host:70-90 30001", "75-85 30002 --device eth0", "78-82 30003"},
			steps: []step{
				opens("eth0", host.at(80), 30001),
				ends(70, past, past), opens("eth0", host.at(80), 30002),
				ends(75, past, past), opens("eth0", host.at(80), 30003),
				ends(78, past, past), is(40000, syn(1)),
			},
		},
		{
			name:     "a range takes those of a port",
			forwards: []string{"80 30001", "70-90 30002"},
			steps:    []step{opens("eth0", host.at(80), 30001), ends(80, past, past), opens("eth0", host.at(80), 30002)},
		},
	})
}

// The next change deletes what has expired. Established TCP lives on, even where the
// change resets others, and UDP ends.
func TestWhatHasExpiredIsDeleted(t *testing.T) {
	other := through(client.at(40001), host.at(81), host.at(30081))
	both := func(deletion step) []step {
		return slices.Concat(web.handshake(), other.handshake(), []step{
			web.asks(udp("?")).opening(), web.answers(udp("!")),
			ends(80, -time.Second, -time.Second),
			web.asks(udp("?")),
			deletion,
			refused(client.at(40000), host.at(80), udp("?")),
			refused(client.at(40002), host.at(80), syn(1)),
			web.asks(data(1001, 5001, "still here")),
			web.answers(data(5001, 1011, "so am I")),
		})
	}
	change := func(change ctl.Change, existing ctl.Existing) step {
		return does(func(r *run) {
			r.Helper()
			r.change(r, change, existing)
		})
	}
	same := func(have []ctl.Forward) ([]ctl.Forward, error) { return have, nil }
	forwards := []string{"80/tcp+udp 30080", "81 30081"}
	runCases(t, []testCase{
		{
			name:     "by a change of nothing",
			forwards: forwards,
			steps: append(both(change(same, ctl.ExistingKeep)),
				other.asks(data(1001, 5001, "me too"))),
		},
		{
			name:     "by a reset of others",
			forwards: forwards,
			steps: append(both(change(ctl.Delete([]string{"81"}, false), ctl.ExistingReset)),
				refused(client.at(40001), host.at(81), data(1001, 5001, "anybody?"))),
		},
	})
}
