// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// The ports of the targets in tests of spreading, with their weights.
var (
	weights    = map[int]int{30001: 1, 30002: 2, 30003: 5}
	byWeight   = "30001 30002,weight=2 30003,weight=5"
	weightsSum = 8
)

// forwardOf is the forward that new packets to a port meet, of both that a frontend
// of TCP and UDP is.
func (r *run) forwardOf(port uint16) (id uint32, f bpf.XfwdForward) {
	r.Helper()
	settings, err := r.set.Settings()
	if err != nil {
		r.Fatal(err)
	}
	for id := range uint32(lastForward + 1) {
		err := r.maps.Forwards.Lookup(id, &f)
		if err == nil && f.PortFirst == port && f.Born <= settings.Epoch && settings.Epoch < f.Dies {
			return id, f
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			r.Fatal(err)
		}
	}
	r.Fatalf("no forward of port %d", port)
	return 0, f
}

// targets is the table of a port's forward: the port of each backend, in the
// table's order.
func (r *run) targets(port uint16) []int {
	r.Helper()
	_, f := r.forwardOf(port)
	pool := f.Pools[1][map[family]int{4: 0, 6: 1}[r.family]]
	var table *ebpf.Map
	if err := r.maps.BackendTables.Lookup(pool.Table, &table); err != nil {
		r.Fatalf("table %d: %v", pool.Table, err)
	}
	defer table.Close()
	if table.MaxEntries() != pool.Size {
		r.Errorf("the table has %d entries, and the pool says %d", table.MaxEntries(), pool.Size)
	}
	ports := make([]int, pool.Size)
	known := make(map[uint32]int)
	for i := range ports {
		var id uint32
		if err := table.Lookup(uint32(i), &id); err != nil {
			r.Fatal(err)
		}
		if known[id] == 0 {
			known[id] = r.portOf(id)
		}
		ports[i] = known[id]
	}
	return ports
}

// portOf is the port of a backend.
func (r *run) portOf(id uint32) int {
	r.Helper()
	var b bpf.XfwdBackend
	if err := r.maps.Backends.Lookup(id, &b); err != nil || b.PortFirst == 0 {
		r.Fatalf("backend %d: %+v, %v", id, b, err)
	}
	return int(b.PortFirst)
}

// sends is what a packet of a client to a port becomes: the target's port.
func (r *run) sends(from endpoint, port int, b body) int {
	r.Helper()
	p := between(from, host.at(port), b)
	out, err := r.process(input{
		program: r.programs[place{ingress, r.link}], device: "eth0",
		frame: r.link.frame(p, r.family, r.mac("eth0")),
	})
	if err != nil || out.verdict != next {
		r.Fatalf("the verdict is %v, %v", out.verdict.of(ingress), err)
	}
	return int(binary.BigEndian.Uint16(out.frame[r.link.headerLength(p)+len(p.ipHeader(r.family))+2:]))
}

// crowd sends a datagram from each of many clients, and calls met with the client
// and the port of its target.
func (r *run) crowd(clients, port int, met func(client endpoint, target int)) {
	r.Helper()
	source := rand.New(rand.NewPCG(uint64(r.family), 7))
	for range clients {
		from := anyone(source)
		met(from, r.sends(from, port, udp("?")))
	}
}

// tuple is what the programs hash of a packet.
func (r *run) tuple(from, to endpoint, protocol uint8) xfwd.Tuple {
	return xfwd.Tuple{
		Source:      netip.AddrPortFrom(from.address(r.family), uint16(from.port)),
		Destination: netip.AddrPortFrom(to.address(r.family), uint16(to.port)),
		Protocol:    protocol,
	}
}

const protocolUDP = 17

// spreading is a case of a balance.
func spreading(name, words string, steps ...step) testCase {
	return testCase{name: name, forwards: []string{words}, links: []linkLayer{ethernet}, steps: steps}
}

func TestSpreading(t *testing.T) {
	runCases(t, []testCase{
		spreading("by the hash of the tuple", "80/udp "+byWeight, does(func(r *run) {
			table := r.targets(80)
			r.crowd(500, 80, func(from endpoint, got int) {
				want := table[xfwd.HashOfTuple(r.tuple(from, host.at(80), protocolUDP))%uint32(len(table))]
				if got != want {
					r.Errorf("%v:%d goes to %d, and the hash says %d", from.address(r.family), from.port, got, want)
				}
			})
		})),
		spreading("by the hash of the source", "80/udp "+byWeight+" --balance source-hash", does(func(r *run) {
			table := r.targets(80)
			r.crowd(500, 80, func(from endpoint, got int) {
				want := table[xfwd.HashOfSource(from.address(r.family))%uint32(len(table))]
				if again := r.sends(from.machine.at(from.port^1), 80, udp("?")); got != want || again != want {
					r.Errorf("%v goes to %d and %d, and the hash says %d", from.address(r.family), got, again, want)
				}
			})
		})),
		spreading("in turn", "80/udp "+byWeight+" --balance round-robin", does(func(r *run) {
			table := r.targets(80)
			if len(table) != weightsSum {
				r.Fatalf("a round has %d turns, want %d", len(table), weightsSum)
			}
			// Whose turn it is does not begin anew with a forward.
			id, _ := r.forwardOf(80)
			var turn uint64
			if err := r.maps.Turns.Lookup(id, &turn); err != nil {
				r.Fatal(err)
			}
			r.crowd(5*weightsSum, 80, func(_ endpoint, got int) {
				if want := table[turn%uint64(len(table))]; got != want {
					r.Errorf("turn %d is that of %d, want %d", turn, got, want)
				}
				turn++
			})
		})),
		spreading("at random", "80/udp "+byWeight+" --balance random", does(func(r *run) {
			const clients = 4000
			met := make(map[int]int)
			r.crowd(clients, 80, func(_ endpoint, got int) { met[got]++ })
			for port, weight := range weights {
				share := float64(weight) / float64(weightsSum)
				// Chance goes astray by so much once in ten million times.
				astray := 5.5 * math.Sqrt(clients*share*(1-share))
				if math.Abs(float64(met[port])-clients*share) > astray {
					r.Errorf("weight %d of %d has %d of %d clients", weight, weightsSum, met[port], clients)
				}
			}
		})),
		spreading("at random, whatever the client", "80/udp 30001 30002 --balance random", does(func(r *run) {
			met := make(map[int]int)
			for range 64 {
				met[r.sends(client.at(40000), 80, udp("?"))]++
				evict(func(entry) bool { return true }).take(r)
			}
			if len(met) != 2 {
				r.Errorf("one client always comes to the same: %v", met)
			}
		})),
		spreading("to the one with the fewest connections", "80/udp "+byWeight+" --balance least-connections", does(func(r *run) {
			met := make(map[int]int)
			r.crowd(10*weightsSum, 80, func(_ endpoint, got int) { met[got]++ })
			for port, weight := range weights {
				if met[port] != 10*weight {
					r.Errorf("weight %d has %d of %d connections", weight, met[port], 10*weightsSum)
				}
			}
		})),
		spreading("to one with few, of very many", "80/udp 30001 30002 30003 30004 30005 30006 30007 30008 30009 30010 "+
			"30011 30012 30013 30014 30015 30016 30017 30018 30019 30020 30021 30022 30023 30024 --balance least-connections", does(func(r *run) {
			met := make(map[int]int)
			r.crowd(240, 80, func(_ endpoint, got int) { met[got]++ })
			for port, n := range met {
				if n < 8 || n > 12 {
					r.Errorf("%d has %d connections of 240, and there are 24", port, n)
				}
			}
			if len(met) != 24 {
				r.Errorf("of 24 backends %d have connections", len(met))
			}
		})),
	})
}

// Each backend's share of many flows is its weight's, within two percent.
func TestSharesOfTheHash(t *testing.T) {
	runCases(t, []testCase{spreading("of the tuple", "80/udp "+byWeight, does(func(r *run) {
		const clients = 100_000
		table := r.targets(80)
		source := rand.New(rand.NewPCG(1, 2))
		met := make(map[int]int)
		for range clients {
			met[table[xfwd.HashOfTuple(r.tuple(anyone(source), host.at(80), protocolUDP))%uint32(len(table))]]++
		}
		for port, weight := range weights {
			fair := float64(clients*weight) / float64(weightsSum)
			deviation := float64(met[port])/fair - 1
			r.Logf("%v: weight %d of %d has %d of %d flows, %+.2f %%", r.family, weight, weightsSum, met[port], clients, 100*deviation)
			if math.Abs(deviation) > 0.02 {
				r.Errorf("that is more than two percent off")
			}
		}
	}))})
}

// What closes makes room for others.
func TestConnectionsAreCounted(t *testing.T) {
	ends := map[string]func(c connection) []step{
		"a goodbye":         connection.goodbye,
		"a reset":           func(c connection) []step { return []step{c.asks(rst(1001))} },
		"the target's":      func(c connection) []step { return []step{c.answers(rst(5001)), c.answers(rst(5001))} },
		"an end of its own": func(c connection) []step { return append(c.goodbye(), c.answers(fin(5001, 1002)), c.asks(rst(1002))) },
	}
	var cases []testCase
	for name, end := range ends {
		cases = append(cases, testCase{
			name:     name,
			forwards: []string{"80 30001 30002 --balance least-connections"},
			steps: []step{does(func(r *run) {
				// Either may be first.
				first := r.sends(client.at(50000), 80, syn(1000))
				second := map[int]int{30001: 30002, 30002: 30001}[first]
				r.mustHave(map[int]int64{first: 1, second: 0})
				c := through(client.at(50001), host.at(80), host.at(second))
				for _, s := range append(c.handshake(), end(c)...) {
					s.take(r)
				}
				r.mustHave(map[int]int64{first: 1, second: 0})
				for _, s := range c.handshake()[:1] {
					s.take(r)
				}
				r.mustHave(map[int]int64{first: 1, second: 1})
			})},
		})
	}
	cases = append(cases, testCase{
		name:     "not where nobody asks",
		forwards: []string{"80 30001 30002"},
		steps: []step{does(func(r *run) {
			r.sends(client.at(50000), 80, syn(1000))
			r.mustHave(map[int]int64{30001: 0, 30002: 0})
		})},
	}, testCase{
		name:     "one that has timed out",
		forwards: []string{"80/udp 30001 30002 --balance least-connections"},
		steps: []step{does(func(r *run) {
			first := r.sends(client.at(50000), 80, udp("?"))
			second := map[int]int{30001: 30002, 30002: 30001}[first]
			idle(121 * 1e9).take(r)
			r.sends(client.at(50000), 80, udp("?"))
			has := r.connections()
			if has[first]+has[second] != 1 {
				r.Errorf("one connection is counted as %v", has)
			}
		})},
	})
	runCases(t, cases)
}

// connections is how many each backend of port 80 has, by its port.
func (r *run) connections() map[int]int64 {
	r.Helper()
	has := make(map[int]int64)
	for id := uint32(1); id <= lastBackend; id++ {
		var b bpf.XfwdBackend
		var n int64
		if err := errors.Join(r.maps.Backends.Lookup(id, &b), r.maps.BackendConnections.Lookup(id, &n)); err != nil {
			r.Fatal(err)
		}
		if b.State == uint8(bpf.XfwdBackendStateBACKEND_ACTIVE) && b.PortFirst != 0 {
			has[int(b.PortFirst)] += n
		}
	}
	return has
}

func (r *run) mustHave(want map[int]int64) {
	r.Helper()
	got := r.connections()
	for port := range got {
		if _, asked := want[port]; !asked {
			delete(got, port)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Fatalf("connections (-want +got):\n%s", diff)
	}
}
