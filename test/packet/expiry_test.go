// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/test/lab"
)

// Timeouts of programs that differ from the real ones in nothing else: a test
// cannot make a flow older than the machine is.
const (
	brief       = 4 * time.Second
	unconfirmed = 3 * time.Second
	timeWait    = 4 * time.Second
	oneWay      = 5 * time.Second
	transitory  = 9 * time.Second
	answered    = 13 * time.Second
	established = 17 * time.Second
	fragmented  = 7 * time.Second

	// within is what tests stay away from a timeout: time goes on.
	within = 2 * time.Second
)

// hastened is the world with programs that have these timeouts. They share its
// maps.
func (w world) hastened(t *testing.T) *world {
	t.Helper()
	waitForAge()
	spec := patient(t)
	setTimeouts(t, spec, map[string]time.Duration{
		"udp_one_way_timeout":     oneWay,
		"tcp_transitory_timeout":  transitory,
		"udp_answered_timeout":    answered,
		"udp_brief_timeout":       brief,
		"unconfirmed_patience":    unconfirmed,
		"tcp_time_wait":           timeWait,
		"tcp_established_timeout": established,
		"fragment_timeout":        fragmented,
	})
	w.usePrograms(t, spec)
	return &w
}

// usePrograms has the world run the programs of a spec. They share its maps.
func (w *world) usePrograms(t lab.TB, spec *ebpf.CollectionSpec) {
	t.Helper()
	wanted := make(map[string]*ebpf.ProgramSpec)
	for _, name := range names {
		wanted[name] = spec.Programs[name]
	}
	// Of the two XDP programs a kernel has only the one that suits it.
	if features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil {
		wanted[bpf.XfwdProgXfwdXdp] = spec.Programs[bpf.XfwdProgXfwdXdpFrags]
	}
	spec.Programs = wanted
	w.programs = ready(t, w.load(t, spec).Programs)
}

// load loads programs that share the world's maps.
func (w *world) load(t lab.TB, spec *ebpf.CollectionSpec) *ebpf.Collection {
	t.Helper()
	pinned := make(map[string]*ebpf.Map)
	for name, m := range spec.Maps {
		if name[0] == '.' {
			continue
		}
		var err error
		if pinned[name], err = ebpf.LoadPinnedMap(filepath.Join(w.pins, "maps", name), nil); err != nil {
			t.Fatalf("%v", err)
		}
		defer pinned[name].Close()
		m.MaxEntries = pinned[name].MaxEntries()
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: pinned})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t).hastened(t)
	resolver := through(client.at(40000), host.at(5353), host.at(30053))
	later := through(client.at(40000), host.at(80), host.at(30080))
	w.runCases(t, []testCase{
		{
			name:     "established TCP",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				idle(established - within),
				web.asks(ack(1001, 5001)), flows{Established: 1},
				idle(established + within),
				web.asks(ack(1001, 5001)).opening(), flows{Transitory: 1},
			}),
		},
		{
			name:     "half-open TCP",
			forwards: []string{"80 30080"},
			steps: []step{
				web.asks(syn(1000)).opening(),
				idle(transitory - within),
				web.asks(syn(1000)),
				idle(transitory + within),
				web.asks(syn(1000)).opening(),
			},
		},
		{
			name:     "half-closed TCP is established",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				web.asks(fin(1001, 5001)),
				idle(transitory + within),
				web.answers(data(5001, 1002, "there is more")),
				idle(established + within),
				leaves(web.answer(data(5001, 1002, "and more"))).stays("no-flow"),
			}),
		},
		{
			name:     "closed TCP",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), web.goodbye(), []step{
				idle(transitory - within),
				web.answers(fin(5001, 1002)),
				idle(transitory + within),
				leaves(web.answer(fin(5001, 1002))).stays("no-flow"),
				flows{},
			}),
		},
		{
			name:     "closing keeps alive what had long been silent",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				idle(established - within),
				web.asks(rst(1001)),
				web.answers(data(5001, 1001, "hello?")),
				flows{Transitory: 1},
			}),
		},
		{
			name:     "half of an established connection is forgotten, long after it was opened",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				idle(transitory + within),
				web.asks(ack(1001, 5001)),
				evict(func(e entry) bool { return e.established && e.flow.Flags&uint8(bpf.XfwdFlowFlagFLOW_REVERSE) == 0 }),
				web.asks(data(1001, 5001, "hello")),
				web.answers(data(5001, 1006, "hello")),
				flows{Established: 1},
			}),
		},
		{
			name:     "not because another processor's clock was ahead",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(big, first(7, 24)).opening(),
				idle(-within),
				dns.asks(big, last(7, 24)),
				dns.asks(udp("?")),
				dns.answers(udp("!")),
			},
		},
		{
			name:     "UDP without an answer",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("?")).opening(),
				idle(oneWay - within),
				dns.asks(udp("?")),
				idle(oneWay + within),
				leaves(dns.answer(udp("!"))).stays("no-flow"),
				dns.asks(udp("?")).opening(),
			},
		},
		{
			name:     "UDP with an answer",
			forwards: []string{"5353/udp 30053"},
			steps: []step{
				resolver.asks(udp("?")).opening(),
				resolver.answers(udp("!")),
				idle(answered - within),
				resolver.answers(udp("!")),
				idle(answered + within),
				leaves(resolver.answer(udp("!"))).stays("no-flow"),
			},
		},
		{
			name:     "a question to a well-known port, with its answer",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("?")).opening(),
				dns.answers(udp("!")),
				idle(brief - within),
				dns.answers(udp("!")),
				idle(brief + within),
				leaves(dns.answer(udp("!"))).stays("no-flow"),
				dns.asks(udp("?")).opening(),
			},
		},
		{
			name:     "UDP that both ends have confirmed",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("?")).opening(),
				dns.answers(udp("!")),
				dns.asks(udp("?")), flows{Established: 1},
				idle(answered - within),
				dns.asks(udp("?")),
				idle(answered + within),
				dns.asks(udp("?")).opening(), flows{Transitory: 1},
			},
		},
		{
			name:     "packets of either direction keep a flow alive",
			forwards: []string{"80 30080"},
			steps: slices.Concat(web.handshake(), []step{
				idle(established - within), web.asks(ack(1001, 5001)),
				idle(established - within), web.asks(ack(1001, 5001)),
				idle(established - within), web.answers(ack(5001, 1001)),
				idle(established - within), web.answers(ack(5001, 1001)),
				idle(established - within), web.asks(ack(1001, 5001)),
			}),
		},
		{
			name:     "an error does not keep a flow alive",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(udp("?")).opening(),
				idle(oneWay - within),
				dns.onTheWayIn(pod, tooBig, 8, udp("?")),
				idle(2 * within),
				leaves(dns.answer(udp("!"))).stays("no-flow"),
			},
		},
		{
			name:     "what a flow held is free afterwards",
			forwards: []string{"80/udp 30080"},
			steps: append(directly(udp("??")),
				idle(oneWay+within),
				later.asks(udp("?")).opening(),
				later.answers(udp("!")),
			),
		},
		{
			name:     "a datagram whose last fragment is late",
			forwards: []string{"53/udp 30053"},
			steps: []step{
				dns.asks(big, first(7, 24)).opening(),
				idle(fragmented - within),
				dns.asks(big, piece(7, 24, 48)),
				idle(2 * within),
				arrives(dns.request(big, last(7, 48))).stays("fragment-early"),
			},
		},
	})
}
