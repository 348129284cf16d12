// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"slices"
	"testing"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// changing is a step that makes a change as the command does.
func changing(existing ctl.Existing, change func(ref string, words []string) (ctl.Change, error), ref string, words ...string) step {
	return does(func(r *run) {
		r.Helper()
		spelled := make([]string, len(words))
		for i, word := range words {
			spelled[i] = spell(word, r.family)
		}
		c, err := change(ref, spelled)
		if err != nil {
			r.Fatal(err)
		}
		r.change(r, c, existing)
	})
}

// A change of the backends takes place at one moment, and only for new flows.
func TestPoolsOfTwoEpochs(t *testing.T) {
	to := func(port, target int) connection {
		return through(client.at(port), host.at(80), host.at(target))
	}
	prepare := does(func(r *run) {
		r.Helper()
		settings, err := r.set.Settings()
		if err != nil {
			r.Fatal(err)
		}
		ids := make(map[int]uint32)
		for id := uint32(1); id <= lastBackend; id++ {
			var b bpf.XfwdBackend
			if err := r.maps.Backends.Lookup(id, &b); err != nil {
				r.Fatal(err)
			}
			if b.State == uint8(bpf.XfwdBackendStateBACKEND_ACTIVE) {
				ids[int(b.PortFirst)] = id
			}
		}
		r.changeForwards(func(f *bpf.XfwdForward) {
			f.Changed = settings.Epoch + 1
			for version, port := range []int{30001, 30002} {
				for family := range f.Pools[version] {
					p := &f.Pools[version][family]
					p.Table, p.Size, p.Serves, p.Backend = 0, 0, 1, ids[port]
				}
			}
		})
	})
	commit := settings(func(s *xfwd.Settings) { s.Epoch++ })
	runCases(t, []testCase{{
		name:     "before and after",
		forwards: []string{"80 30001 30002"},
		steps: slices.Concat([]step{prepare}, to(40000, 30001).handshake(), to(40001, 30001).handshake(),
			[]step{commit}, to(40002, 30002).handshake(), []step{
				to(40000, 30001).asks(data(1001, 5001, "still here")),
				to(40000, 30001).answers(data(5001, 1011, "so am I")),
				flows{Established: 3},
			}),
	}})
}

// Each family has its own backends.
func TestPoolsOfFamilies(t *testing.T) {
	const only4 = "203.0.113.1:30002"
	asked := func(r *run, n int) map[int]int {
		met := make(map[int]int)
		r.crowd(n, 80, func(_ endpoint, target int) { met[target]++ })
		return met
	}
	runCases(t, []testCase{
		spreading("a backend without address is in both", "80/udp 30001 "+only4+" --balance round-robin", does(func(r *run) {
			want := map[family]int{4: 20, 6: 40}[r.family]
			if met := asked(r, 40); met[30001] != want || met[30002] != 40-want {
				r.Errorf("of 40 clients %v come to each", met)
			}
		})),
		{
			name:     "a family without one that takes new flows is refused",
			forwards: []string{"80/udp 30001 " + only4},
			families: onlyIPv6,
			links:    onlyEthernet,
			steps: []step{
				changing(ctl.ExistingKeep, ctl.DrainBackends, "80/udp", "30001"),
				web.isRefused(udp("?")),
			},
		},
		{
			name:     "and the other one is served",
			forwards: []string{"80/udp 30001 " + only4},
			families: onlyIPv4,
			steps: []step{
				changing(ctl.ExistingKeep, ctl.DrainBackends, "80/udp", "30001"),
				through(client.at(40000), host.at(80), second.at(30002)).asks(udp("?")).opening(),
			},
		},
		{
			name:     "a family without backends is left alone",
			forwards: []string{"80/udp " + only4},
			families: onlyIPv6,
			steps: []step{
				arrives(web.request(udp("?"))).stays("no-frontend"),
				changing(ctl.ExistingKeep, ctl.DrainBackends, "80/udp", only4),
				arrives(web.request(udp("?"))).stays("no-frontend"),
			},
		},
		{
			name:     "a forward without backends refuses both",
			forwards: []string{"80/udp " + only4},
			links:    onlyEthernet,
			steps: []step{
				changing(ctl.ExistingKeep, ctl.DeleteBackends, "80/udp", only4),
				web.isRefused(udp("?")),
				changing(ctl.ExistingKeep, ctl.AddBackends, "80/udp", "30080"),
				web.asks(udp("?")).opening(),
			},
		},
	})
}

// What becomes of the flows of a backend that no longer takes new ones.
func TestBackendsThatLeave(t *testing.T) {
	seen := toTheRemote.seenAs(client.at(40000))
	var cases []testCase
	for _, c := range []struct {
		name, backend, instead string
		relayed
		// moved is the same client's connection to the other backend.
		moved relayed
	}{
		{"a container", "pod:8080", "remote:8080", toThePod, seen},
		{"another network", "remote:8080", "pod:8080", seen, toThePod},
	} {
		forwards := []string{"80/tcp+udp " + c.backend + " --source preserve"}
		// replaced has the other backend come, and this one leave.
		replaced := func(existing ctl.Existing, leave func(string, []string) (ctl.Change, error)) []step {
			return []step{
				changing(ctl.ExistingKeep, ctl.AddBackends, "80/tcp", c.instead), changing(ctl.ExistingKeep, ctl.AddBackends, "80/udp", c.instead),
				changing(existing, leave, "80/tcp", c.backend), changing(existing, leave, "80/udp", c.backend),
			}
		}
		another := c.moved
		another.client, another.seen = client.at(40001), client.at(40001)
		cases = append(cases,
			testCase{
				name: "draining, all live on: " + c.name, forwards: forwards,
				steps: slices.Concat(c.handshake(), []step{c.asks(udp("?")).opening(), c.answers(udp("!"))},
					replaced(ctl.ExistingKeep, ctl.DrainBackends), []step{
						c.asks(data(1001, 5001, "still here")), c.answers(data(5001, 1011, "so am I")),
						c.asks(udp("?")), c.answers(udp("!")),
					}, another.handshake(), c.goodbye(), []step{c.asks(udp("?"))}),
			},
			testCase{
				name: "deleted, established TCP lives on: " + c.name, forwards: forwards,
				steps: slices.Concat(c.handshake(), replaced(ctl.ExistingKeep, ctl.DeleteBackends), []step{
					c.asks(data(1001, 5001, "still here")), c.answers(data(5001, 1011, "so am I")),
				}, another.handshake(), c.goodbye()),
			},
			testCase{
				name: "deleted, UDP moves: " + c.name, forwards: forwards,
				steps: slices.Concat([]step{c.asks(udp("?")).opening(), c.answers(udp("!")), c.asks(udp("?")), flows{Established: 1}},
					replaced(ctl.ExistingKeep, ctl.DeleteBackends), []step{
						arrives(c.answer(udp("!"))).stays("no-flow").on(c.far.device),
						c.moved.asks(udp("?")).opening(), c.moved.answers(udp("!")), flows{Transitory: 1},
					}),
			},
			testCase{
				name: "deleted, half-open TCP begins again: " + c.name, forwards: forwards,
				steps: slices.Concat([]step{c.asks(syn(1000)).opening()}, replaced(ctl.ExistingKeep, ctl.DeleteBackends), c.moved.handshake()),
			},
			testCase{
				name: "deleted with a reset, TCP meets another backend: " + c.name, forwards: forwards,
				steps: slices.Concat(c.handshake(), replaced(ctl.ExistingReset, ctl.DeleteBackends), []step{
					c.moved.asks(data(1001, 5001, "anybody?")).opening(),
					c.moved.answers(rst(5001)),
				}),
			},
			testCase{
				name: "deleted with a reset, TCP is refused if there is none: " + c.name, forwards: forwards, links: onlyEthernet,
				steps: slices.Concat(c.handshake(), []step{
					changing(ctl.ExistingReset, ctl.DeleteBackends, "80/tcp", c.backend),
					c.isRefused(data(1001, 5001, "anybody?")),
				}),
			},
			testCase{
				name: "and back again: " + c.name, forwards: forwards, links: onlyEthernet,
				steps: slices.Concat([]step{
					changing(ctl.ExistingKeep, ctl.DeleteBackends, "80/tcp", c.backend), c.isRefused(syn(1)),
					changing(ctl.ExistingKeep, ctl.AddBackends, "80/tcp", c.backend),
				}, c.handshake()),
			},
		)
	}
	runCases(t, cases)
}
