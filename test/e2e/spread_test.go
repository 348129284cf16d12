// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"math"
	"net/netip"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Every way of balancing gives backends flows by their weights, and none to one
// of weight 0.
func TestBalancesFollowWeights(t *testing.T) {
	t.Parallel()
	weights := []int{1, 2, 3, 0}
	const sum, flows = 6, 600
	for _, kind := range []struct {
		balance string
		// exact balances count; the others draw lots.
		exact bool
	}{
		{"maglev", false},
		{"random", false},
		{"source-hash", false},
		{"round-robin", true},
		{"least-connections", true},
	} {
		t.Run(kind.balance, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, len(weights))
			clients := f.crowd(t, flows)
			f.publish(t, "80/tcp+udp", f.weighted(weights...), "--balance", kind.balance)
			for _, network := range networks {
				for family, host := range f.HostAddr.All() {
					within(t, f.Network, network+" "+family, func(t *testing.T) {
						got := make([]int, len(weights))
						for _, client := range clients {
							// Connections stay open, so that there are some to count.
							conn, err := f.Client.Connect(network, at(host, 80), at(client.Of(host), 0))
							if err != nil {
								t.Fatal(err)
							}
							got[f.index(t, conn.Server.Addr())]++
						}
						for i, weight := range weights {
							share := float64(weight) / sum
							// Five standard deviations of the binomial distribution: by chance alone a share is
							// beyond once in 1.7 million.
							tolerance := 5 * math.Sqrt(flows*share*(1-share))
							if kind.exact {
								tolerance = 0
							}
							if want := flows * share; math.Abs(float64(got[i])-want) > tolerance {
								t.Errorf("weights %v: flows %v; backend %d should have %.0f, give or take %.0f", weights, got, i, want, tolerance)
							}
						}
					})
				}
			}
		})
	}
}

// Two hosts that publish the same backends, named in another order or put
// together step by step, choose the same one for the same flow.
func TestTwoHostsChooseAlike(t *testing.T) {
	t.Parallel()
	const tuples = 150
	for _, balance := range []string{"maglev", "source-hash"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			one, two := newFleet(t, 4), newFleet(t, 4)
			clients := one.crowd(t, tuples)
			two.crowd(t, tuples)
			words := one.weighted(1, 2, 1, 3)
			one.publish(t, "80/tcp+udp", words, "--balance", balance)
			// Ids and slots are others here, and so is the order.
			two.publish(t, "79", two.all())
			two.publish(t, "80/tcp+udp", two.backends(",weight=3", 3), "--balance", balance)
			two.change(t, "add", "80/tcp+udp", two.backends("", 2)...)
			two.change(t, "add", "80/tcp+udp", two.backends(",weight=9", 0, 1)...)
			two.change(t, "del", "80/tcp+udp", two.backends("", 0)...)
			two.change(t, "set", "80/tcp+udp", two.backends(",weight=2", 1)...)
			two.change(t, "add", "80/tcp+udp", two.backends("", 0)...)
			for _, network := range networks {
				for _, host := range one.HostAddr.All() {
					chosen := map[int]int{}
					for i, client := range clients {
						from := at(client.Of(host), uint16(20000+i))
						first := one.ask(t, network, at(host, 80), from)
						if second := two.ask(t, network, at(host, 80), from); second != first {
							t.Fatalf("%s from %v to %v: one host chose backend %d, the other %d", network, from, host, first, second)
						}
						chosen[first]++
					}
					if len(chosen) != 4 {
						t.Errorf("%s to %v: only %v were chosen, so this test says little", network, host, chosen)
					}
				}
			}
		})
	}
}

// A forward of one backend, and one of which all but one are drained, use that one.
func TestOneBackend(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "random")
	f.publish(t, "81/tcp+udp", f.backends("", 1), "--balance", "random")
	f.change(t, "drain", "80/tcp+udp", f.backends("", 0, 2)...)
	for _, port := range []uint16{80, 81} {
		for _, network := range networks {
			for _, host := range f.HostAddr.All() {
				for range 10 {
					if got := f.ask(t, network, at(host, port), anyPort); got != 1 {
						t.Fatalf("%s to %v: backend %d answered, want 1", network, at(host, port), got)
					}
				}
			}
		}
	}
}

// One forward may have backends of both families; each client gets one of its
// own. A family that has none is left to the host.
func TestBackendsOfOneFamily(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.Host.Echo("tcp", ":80")
	f.publish(t, "80", []string{at(f.pods[0].Addr.V4, fleetPort).String()})
	for _, c := range []struct{ host, server netip.Addr }{
		{f.HostAddr.V4, f.pods[0].Addr.V4},
		{f.HostAddr.V6, f.HostAddr.V6},
	} {
		if conn := f.Client.MustConnect("tcp", at(c.host, 80)); conn.Server.Addr() != c.server {
			t.Errorf("%v was answered by %v, want %v", c.host, conn.Server, c.server)
		}
	}
	f.change(t, "add", "80", at(f.pods[0].Addr.V6, fleetPort).String())
	for _, host := range f.HostAddr.All() {
		if conn := f.Client.MustConnect("tcp", at(host, 80)); conn.Server.Addr() != f.pods[0].Addr.Of(host) {
			t.Errorf("%v was answered by %v", host, conn.Server)
		}
	}
}

// The ports of a range keep their places on each of several backends.
func TestRangeOverSeveralBackends(t *testing.T) {
	t.Parallel()
	f := newSilentFleet(t, 2)
	var words []string
	for _, pod := range f.pods {
		for _, addr := range pod.Addr.All() {
			words = append(words, frontend(addr, "30000-30002"))
			for port := uint16(30000); port <= 30002; port++ {
				for _, network := range networks {
					pod.Echo(network, at(addr, port).String())
				}
			}
		}
	}
	f.publish(t, "9000-9002/tcp+udp", words, "--balance", "round-robin")
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			for offset := range uint16(3) {
				var got [2]int
				for range 4 {
					conn := f.Client.MustConnect(network, at(host, 9000+offset))
					mustEcho(t, conn)
					if conn.Server.Port() != 30000+offset {
						t.Errorf("port %d led to %v", 9000+offset, conn.Server)
					}
					got[f.index(t, conn.Server.Addr())]++
				}
				if got != [2]int{2, 2} {
					t.Errorf("%s to %v: backends got %v flows, want 2 each", network, at(host, 9000+offset), got)
				}
			}
		}
	}
}

// The host's own connections, also to loopback, are spread like those of others,
// and none goes to a drained backend.
func TestOwnConnectionsAreSpread(t *testing.T) {
	t.Parallel()
	const backends, drained = 3, 1
	f := newFleet(t, backends)
	f.publish(t, "80/tcp+udp", f.all())
	loopback := lab.Addresses{V4: netip.MustParseAddr("127.0.0.1"), V6: netip.IPv6Loopback()}
	for _, own := range []lab.Addresses{f.HostAddr, loopback} {
		for _, host := range own.All() {
			for _, network := range networks {
				within(t, f.Network, network+" to "+host.String(), func(t *testing.T) {
					// That one of three gets none of 60 is a chance of 1 in 10^10.
					count := func() (got [backends]int) {
						for range 60 {
							conn := f.Host.MustConnect(network, at(host, 80))
							mustEcho(t, conn)
							got[f.index(t, conn.Server.Addr())]++
						}
						return got
					}
					for i, flows := range count() {
						if flows == 0 {
							t.Errorf("backend %d got none", i)
						}
					}
					f.change(t, "drain", "80/tcp+udp", f.backends("", drained)...)
					if got := count(); got[drained] != 0 {
						t.Errorf("the drained backend got %d", got[drained])
					}
					f.change(t, "set", "80/tcp+udp", f.backends("", drained)...)
				})
			}
		}
	}
}
