// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/lab"
)

// affinityOfGroup is AFFINITY_OF_GROUP of abi.h.
const affinityOfGroup = 1 << 31

// unasked is a step: a time passes in which no client comes.
func unasked(d time.Duration) step {
	return does(func(r *run) {
		r.Helper()
		for _, m := range []*ebpf.Map{r.maps.Affinities, r.maps.NewAffinities} {
			err := revise(m, func(_ bpf.XfwdAffinityKey, a *bpf.XfwdAffinity) { a.LastUsed = idle(d).before(r, a.LastUsed) })
			if err != nil {
				r.Fatal(err)
			}
		}
	})
}

// A client stays with its backend as long as that takes new flows, and no longer
// than was asked for. In turn, each choice leads to the next backend.
func TestAffinity(t *testing.T) {
	const words = "80/udp 30001 30002 30003 --balance round-robin --affinity 10s"
	// next is the target after another in turn.
	next := map[int]int{30001: 30002, 30002: 30003, 30003: 30001}
	port := 50000
	asks := func(r *run, m machine) int { port++; return r.sends(m.at(port), 80, udp("?")) }
	// to changes the backend that has a port.
	to := func(r *run, target int, change func(*bpf.XfwdBackend)) {
		r.changeBackends(func(b *bpf.XfwdBackend) {
			if int(b.PortFirst) == target {
				change(b)
			}
		})
	}
	mustComeTo := func(r *run, m machine, want int) {
		r.Helper()
		if got := asks(r, m); got != want {
			r.Fatalf("the client comes to %d, want %d", got, want)
		}
	}
	moves := func(name string, change func(*bpf.XfwdBackend)) testCase {
		return spreading(name, words, does(func(r *run) {
			first := asks(r, client)
			mustComeTo(r, client, first)
			to(r, first, change)
			mustComeTo(r, client, next[first])
			mustComeTo(r, client, next[first])
		}))
	}
	runCases(t, []testCase{
		spreading("whatever the port, and whoever comes between", words, does(func(r *run) {
			first := asks(r, client)
			for range 5 {
				mustComeTo(r, client, first)
			}
			mustComeTo(r, router, next[first])
			mustComeTo(r, neighbour, next[next[first]])
			mustComeTo(r, client, first)
			mustComeTo(r, router, next[first])
		})),
		spreading("as long as was asked for since the last flow", words, does(func(r *run) {
			first := asks(r, client)
			for range 3 {
				unasked(9 * time.Second).take(r)
				mustComeTo(r, client, first)
			}
			unasked(10*time.Second + 50*time.Millisecond).take(r)
			mustComeTo(r, client, next[first])
			mustComeTo(r, client, next[first])
		})),
		spreading("of one that is not known the hash of its address decides, so that another host decides alike", "80/udp "+byWeight+" --affinity 10s", does(func(r *run) {
			table := r.targets(80)
			first := make(map[endpoint]int)
			r.crowd(200, 80, func(from endpoint, got int) { first[from] = got })
			unasked(11 * time.Second).take(r)
			for from, got := range first {
				want := table[xfwd.HashOfSource(from.address(r.family))%uint32(len(table))]
				if again := r.sends(from.machine.at(from.port^1), 80, udp("?")); got != want || again != want {
					r.Errorf("%v goes to %d and %d, and the hash says %d", from.address(r.family), got, again, want)
				}
			}
		})),
		moves("not to one that is draining", func(b *bpf.XfwdBackend) { b.State = uint8(bpf.XfwdBackendStateBACKEND_DRAINING) }),
		moves("not to one that is gone", func(b *bpf.XfwdBackend) { b.State = uint8(bpf.XfwdBackendStateBACKEND_GONE) }),
		moves("not to another one in its place", func(b *bpf.XfwdBackend) { b.Generation++ }),
		{
			name:     "each forward has its own",
			forwards: []string{words, "81/udp 30001 30002 30003 --balance round-robin --affinity 10s"},
			links:    []linkLayer{ethernet},
			steps: []step{does(func(r *run) {
				first, other := asks(r, client), r.sends(client.at(60000), 81, udp("?"))
				// Another client takes a turn of one forward only.
				asks(r, router)
				mustComeTo(r, client, first)
				if got := r.sends(client.at(60001), 81, udp("?")); got != other {
					r.Errorf("the client comes to %d by the other forward, want %d", got, other)
				}
			})},
		},
		spreading("a flow that is there is not moved", words, does(func(r *run) {
			first := r.sends(client.at(40000), 80, udp("?"))
			unasked(11 * time.Second).take(r)
			mustComeTo(r, client, next[first])
			if got := r.sends(client.at(40000), 80, udp("?")); got != first {
				r.Errorf("the flow has moved from %d to %d", first, got)
			}
		})),
	})
}

// Forwards of a group lead a client to one machine: to their own backends there. Here, the
// machines are addresses of this host. In turn, each choice leads to another one.
func TestAffinityGroups(t *testing.T) {
	const (
		web   = "80/udp host:30001 second:30002 gateway:30003 --balance round-robin --affinity 10s --affinity-group "
		other = "81/udp gateway:30013 second:30012 host:30011 --balance round-robin --affinity 10s --affinity-group "
	)
	port := 50000
	asks := func(r *run, m machine, frontend int) int {
		port++
		return r.sends(m.at(port), frontend, udp("?"))
	}
	// alike fails the test unless two targets are, or are not, on one machine.
	alike := func(r *run, first, second int, want bool) {
		r.Helper()
		if (first%10 == second%10) != want {
			r.Errorf("the client comes to %d and to %d", first, second)
		}
	}
	drains := func(r *run, target int) {
		r.changeBackends(func(b *bpf.XfwdBackend) {
			if int(b.PortFirst) == target {
				b.State = uint8(bpf.XfwdBackendStateBACKEND_DRAINING)
			}
		})
	}
	grouped := func(name string, forwards []string, take func(r *run)) testCase {
		return testCase{name: name, forwards: forwards, links: []linkLayer{ethernet}, steps: []step{does(take)}}
	}
	clients := []machine{client, router, neighbour, client, neighbour, router}
	runCases(t, []testCase{
		grouped("one group", []string{web + "a", other + "a"}, func(r *run) {
			for i, m := range clients {
				ports := []int{80, 81}
				first := asks(r, m, ports[i%2])
				for range 3 {
					alike(r, first, asks(r, m, 80), true)
					alike(r, first, asks(r, m, 81), true)
				}
			}
		}),
		grouped("two groups", []string{web + "a", other + "b"}, func(r *run) {
			differ := 0
			for _, m := range clients {
				if asks(r, m, 80)%10 != asks(r, m, 81)%10 {
					differ++
				}
			}
			if differ == 0 {
				r.Error("what is in two groups leads to the same machines")
			}
		}),
		grouped("as long as was asked for", []string{web + "a", other + "a"}, func(r *run) {
			for range 3 {
				first := asks(r, client, 80)
				unasked(9 * time.Second).take(r)
				alike(r, first, asks(r, client, 81), true)
				unasked(10*time.Second + 50*time.Millisecond).take(r)
				// Now it is the next one's turn.
				again := asks(r, client, 80)
				alike(r, first, again, false)
				alike(r, again, asks(r, client, 81), true)
				unasked(11 * time.Second).take(r)
			}
		}),
		grouped("the others follow from a backend that drains", []string{web + "a", other + "a"}, func(r *run) {
			first := asks(r, client, 80)
			alike(r, first, asks(r, client, 81), true)
			drains(r, first)
			next := asks(r, client, 80)
			alike(r, first, next, false)
			alike(r, next, asks(r, client, 81), true)
			alike(r, next, asks(r, client, 80), true)
		}),
		grouped("where a forward has no backend there, its clients stay with what they have by it", []string{
			"80/udp host:30001 second:30002 --balance random --affinity 10s --affinity-group a",
			"81/udp gateway:30013 30014 --balance random --affinity 10s --affinity-group a",
		}, func(r *run) {
			for _, m := range clients {
				first, other := asks(r, m, 80), asks(r, m, 81)
				for range 8 {
					alike(r, first, asks(r, m, 80), true)
					alike(r, other, asks(r, m, 81), true)
				}
			}
		}),
		grouped("of several backends at a machine the forward that has chosen keeps its own", []string{
			"80/udp 30001 30002 30003 --balance random --affinity 10s --affinity-group a",
			"81/udp 30011 30012 --balance random --affinity 10s --affinity-group a",
		}, func(r *run) {
			for _, m := range clients {
				first, other := asks(r, m, 80), asks(r, m, 81)
				for range 8 {
					alike(r, first, asks(r, m, 80), true)
					alike(r, other, asks(r, m, 81), true)
				}
			}
		}),
		grouped("no backend is no machine", []string{
			"80/udp 30001,state=draining 30002,state=draining --affinity 10s --affinity-group a",
			"81/udp 30011 second:30012 gateway:30013 --balance round-robin --affinity 10s --affinity-group a",
		}, func(r *run) {
			met := make(map[int]bool)
			for _, m := range clients[:3] {
				through(m.at(40000), host.at(80), host.at(30001)).isRefused(udp("?")).take(r)
				met[asks(r, m, 81)] = true
			}
			if len(met) != 3 {
				r.Errorf("refused clients come to %v, and not to one after the other", met)
			}
		}),
	})
}

// Forged packets push out only what other forged packets have left. A client is remembered once it has confirmed a
// flow, whatever the flood has done to what was noted before.
func TestAffinityUnderAttack(t *testing.T) {
	// More than either map has room for; a client of a group takes two places.
	const forged = 70000
	port := 50000
	// confirms has a client make a flow and confirm it. Between the two something happens.
	confirms := func(r *run, m machine, frontend int, meanwhile func()) int {
		r.Helper()
		port++
		from := m.at(port)
		target := r.sends(from, frontend, udp("?"))
		meanwhile()
		c := through(from, host.at(frontend), host.at(target))
		c.answers(udp("!")).take(r)
		c.asks(udp("?")).take(r)
		return target
	}
	asks := func(r *run, m machine, frontend int) int {
		port++
		return r.sends(m.at(port), frontend, udp("?"))
	}
	mustComeTo := func(r *run, m machine, frontend, want int) {
		r.Helper()
		for range 3 {
			if got := asks(r, m, frontend); got != want {
				r.Fatalf("%v comes to %d, want %d", m, got, want)
			}
		}
	}
	const words = "80/udp 30001 30002 30003 --balance random --affinity 1h"
	clients := []machine{client, router, neighbour}
	runCases(t, []testCase{
		spreading("a flood", words+" --affinity-group a", does(func(r *run) {
			targets := make(map[machine]int)
			for _, m := range clients {
				targets[m] = confirms(r, m, 80, func() {})
			}
			r.flood(forged, host.at(80), udp("?"))
			for _, m := range clients {
				mustComeTo(r, m, 80, targets[m])
			}
		})),
		spreading("what was noted is gone when the client confirms", words, does(func(r *run) {
			for _, m := range clients {
				target := confirms(r, m, 80, func() { empty(r, r.maps.NewAffinities) })
				empty(r, r.maps.NewAffinities)
				mustComeTo(r, m, 80, target)
			}
		})),
		spreading("a flow is not confirmed by its second packet", words, does(func(r *run) {
			from := client.at(40000)
			for range 2 {
				r.sends(from, 80, udp("?"))
			}
			if all, err := dump[bpf.XfwdAffinityKey, bpf.XfwdAffinity](r.maps.Affinities); err != nil || len(all) != 0 {
				r.Errorf("what anybody could have sent is remembered: %v, %v", all, err)
			}
		})),
		spreading("confirmed, it is new no longer", words, does(func(r *run) {
			confirms(r, client, 80, func() {})
			if all, err := dump[bpf.XfwdAffinityKey, bpf.XfwdAffinity](r.maps.NewAffinities); err != nil || len(all) != 0 {
				r.Errorf("it is remembered twice: %v, %v", all, err)
			}
		})),
		spreading("a flow to a backend that drains by then", words, does(func(r *run) {
			confirms(r, client, 80, func() {
				r.changeBackends(func(b *bpf.XfwdBackend) { b.State = uint8(bpf.XfwdBackendStateBACKEND_DRAINING) })
			})
			if all, err := dump[bpf.XfwdAffinityKey, bpf.XfwdAffinity](r.maps.Affinities); err != nil || len(all) != 0 {
				r.Errorf("clients stay where they may not come to: %v, %v", all, err)
			}
		})),
		spreading("an old flow, confirmed late, does not take the client back", "80/udp 30001 30002 30003 --balance round-robin --affinity 1h", does(func(r *run) {
			var now int
			old := confirms(r, client, 80, func() {
				// The backend takes no new flows for a while.
				state := func(state bpf.XfwdBackendState, target int) {
					r.changeBackends(func(b *bpf.XfwdBackend) {
						if int(b.PortFirst) == target {
							b.State = uint8(state)
						}
					})
				}
				first := asks(r, client, 80)
				state(bpf.XfwdBackendStateBACKEND_DRAINING, first)
				now = confirms(r, client, 80, func() {})
				state(bpf.XfwdBackendStateBACKEND_ACTIVE, first)
			})
			if old == now {
				r.Fatal("the client has not moved")
			}
			mustComeTo(r, client, 80, now)
		})),
		{
			name: "a group",
			forwards: []string{
				"80/udp host:30001 second:30002 gateway:30003 --balance random --affinity 1h --affinity-group a",
				"81/udp host:30011 second:30012 gateway:30013 --balance random --affinity 1h --affinity-group a",
			},
			links: onlyEthernet,
			steps: []step{does(func(r *run) {
				for _, m := range clients {
					port++
					from := m.at(port)
					target := r.sends(from, 80, udp("?"))
					to := map[int]machine{30001: host, 30002: second, 30003: gateway}[target]
					c := through(from, host.at(80), to.at(target))
					c.answers(udp("!")).take(r)
					c.asks(udp("?")).take(r)
					empty(r, r.maps.NewAffinities)
					mustComeTo(r, m, 81, target+10)
				}
			})},
		},
	})
}

// The host's own connections are nothing that anybody could forge, and have no flow to confirm.
func TestAffinityOfOwnConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t, 4, []string{"80 30001 30002 --balance random --affinity 1h"})
	lab.Eventually(t, lab.Patience, func() error { return w.isLocal(host.address(4)) })
	if conn, err := w.host.Connect("tcp", netip.AddrPortFrom(host.address(4), 80), netip.AddrPort{}); err == nil {
		conn.Close()
		t.Fatal("somebody listens")
	}
	all, err := dump[bpf.XfwdAffinityKey, bpf.XfwdAffinity](w.maps.Affinities)
	if err != nil || len(all) != 1 {
		t.Errorf("remembered are %v, %v, and not one client", all, err)
	}
}
