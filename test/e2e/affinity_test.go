// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// affinityClients is how many clients a test of affinity has. That all of them
// get by lot, from three backends, the one that they had, is a chance of 1 in 10^14.
const affinityClients = 30

// affine is a fleet of three with random balance and affinity, and its clients.
func affine(t *testing.T, affinity string) (*fleet, []lab.Addresses) {
	t.Helper()
	f := newFleet(t, 3)
	clients := f.crowd(t, affinityClients)
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "random", "--affinity", affinity)
	return f, clients
}

// choices asks once for each client.
func (f *fleet) choices(t *testing.T, network string, to netip.AddrPort, clients []lab.Addresses) []int {
	t.Helper()
	chosen := make([]int, len(clients))
	for i, client := range clients {
		chosen[i] = f.ask(t, network, to, at(client.Of(to.Addr()), 0))
	}
	return chosen
}

// differ counts the places where two lists differ.
func differ(a, b []int) (count int) {
	for i := range a {
		if a[i] != b[i] {
			count++
		}
	}
	return count
}

// With affinity a client stays with its backend, whatever its port.
func TestAffinityKeepsTheClient(t *testing.T) {
	t.Parallel()
	f, clients := affine(t, "1h")
	if got := f.xfwd.List()[0].AffinitySeconds; got != 3600 {
		t.Errorf("list says %d seconds", got)
	}
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			first := f.choices(t, network, at(host, 80), clients)
			chosen := map[int]bool{}
			for _, backend := range first {
				chosen[backend] = true
			}
			if len(chosen) == 1 {
				t.Errorf("%s to %v: all clients got backend %v", network, host, first[0])
			}
			for range 3 {
				if n := differ(first, f.choices(t, network, at(host, 80), clients)); n != 0 {
					t.Errorf("%s to %v: %d clients changed their backend", network, host, n)
				}
			}
		}
	}
}

// Affinity ends when a client has made no flow for that long, and no sooner.
func TestAffinityTimesOut(t *testing.T) {
	t.Parallel()
	const affinity = 3 * time.Second
	f, clients := affine(t, affinity.String())
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			f.Lab.Within(t)
			to := at(f.HostAddr.V4, 80)
			first := f.choices(t, network, to, clients)
			// Longer than the affinity in all, but in use.
			for start := time.Now(); time.Since(start) < affinity+affinity/3; time.Sleep(affinity / 4) {
				if n := differ(first, f.choices(t, network, to, clients)); n != 0 {
					t.Errorf("%d clients changed their backend after %v", n, time.Since(start))
				}
			}
			time.Sleep(affinity + time.Second)
			if differ(first, f.choices(t, network, to, clients)) == 0 {
				t.Errorf("all clients still have the same backend %v after their last connection", affinity+time.Second)
			}
		})
	}
}

// A client leaves a backend that is drained or deleted, and stays with its new
// one when the old one is back; the others stay where they are.
func TestAffinityLeavesABackend(t *testing.T) {
	t.Parallel()
	for _, action := range []struct{ leave, back string }{{"drain", "set"}, {"del", "add"}} {
		t.Run(action.leave, func(t *testing.T) {
			t.Parallel()
			f, clients := affine(t, "1h")
			const gone = 1
			for _, network := range networks {
				for family, host := range f.HostAddr.All() {
					within(t, f.Network, network+" "+family, func(t *testing.T) {
						first := f.choices(t, network, at(host, 80), clients)
						f.change(t, action.leave, "80/tcp+udp", f.backends("", gone)...)
						second := f.choices(t, network, at(host, 80), clients)
						for i := range clients {
							switch {
							case second[i] == gone:
								t.Errorf("a client came to backend %d after %s", gone, action.leave)
							case first[i] != gone && second[i] != first[i]:
								t.Errorf("a client went from backend %d to %d, though only %d went", first[i], second[i], gone)
							}
						}
						f.change(t, action.back, "80/tcp+udp", f.backends("", gone)...)
						if n := differ(second, f.choices(t, network, at(host, 80), clients)); n != 0 {
							t.Errorf("%d clients changed their backend when one was back", n)
						}
					})
				}
			}
		})
	}
}

// A client of two ports of the same machines reaches the same one by both, where the
// client's address decides: in a new connection, and when the forwards are added anew.
func TestTwoPortsReachOneMachine(t *testing.T) {
	t.Parallel()
	for _, how := range [][]string{{"--balance", "source-hash"}, {"--affinity", "1h"}} {
		t.Run(how[1], func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 4)
			clients := f.crowd(t, affinityClients)
			f.publish(t, "80/tcp+udp", f.all(), how...)
			var others []string
			for i := range f.pods {
				pod := f.pods[(i+2)%len(f.pods)]
				for _, addr := range pod.Addr.All() {
					others = append(others, at(addr, 8443).String())
					for _, network := range networks {
						pod.Echo(network, at(addr, 8443).String())
					}
				}
			}
			f.publish(t, "443/tcp+udp", others, how...)
			for _, network := range networks {
				for family, host := range f.HostAddr.All() {
					within(t, f.Network, network+" "+family, func(t *testing.T) {
						first := f.choices(t, network, at(host, 80), clients)
						if n := differ(first, f.choices(t, network, at(host, 443), clients)); n != 0 {
							t.Errorf("%d of %d clients reach different machines by the two ports", n, len(clients))
						}
						if differ(first, make([]int, len(first))) == 0 {
							t.Error("all clients reach the same machine")
						}
					})
				}
			}
		})
	}
}

// Forwards of a group lead a client to one machine, whichever it asks first, also when it
// has to leave that machine; and the file keeps the group.
func TestAffinityGroup(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4)
	clients := f.crowd(t, affinityClients)
	how := []string{"--balance", "random", "--affinity", "1h", "--affinity-group", "shop"}
	f.publish(t, "80/tcp+udp", f.all(), how...)
	var others []string
	secure := func(i int) (words []string) {
		for _, addr := range f.pods[i].Addr.All() {
			words = append(words, at(addr, 8443).String())
		}
		return words
	}
	for i := range f.pods {
		others = append(others, secure(len(f.pods)-1-i)...)
		for _, addr := range f.pods[i].Addr.All() {
			for _, network := range networks {
				f.pods[i].Echo(network, at(addr, 8443).String())
			}
		}
	}
	f.publish(t, "443/tcp+udp", others, how...)
	if saved := f.xfwd.Do("save", "-").Stdout; strings.Count(saved, "affinityGroup: shop") != 2 {
		t.Errorf("the file does not have the group of both forwards:\n%s", saved)
	}
	for _, network := range networks {
		for family, host := range f.HostAddr.All() {
			within(t, f.Network, network+" "+family, func(t *testing.T) {
				ports := []uint16{80, 443}
				// Some clients begin with one port and some with the other.
				ask := func(turn int) []int {
					chosen := make([]int, len(clients))
					for i, client := range clients {
						chosen[i] = f.ask(t, network, at(host, ports[(i+turn)%2]), at(client.Of(host), 0))
					}
					return chosen
				}
				first := ask(0)
				for turn := 1; turn < 4; turn++ {
					if n := differ(first, ask(turn)); n != 0 {
						t.Errorf("%d of %d clients do not stay with their machine", n, len(clients))
					}
				}
				const gone = 1
				f.change(t, "drain", "80/tcp+udp", f.backends("", gone)...)
				f.change(t, "del", "443/tcp+udp", secure(gone)...)
				second := ask(0)
				for i := range clients {
					if second[i] == gone || first[i] != gone && second[i] != first[i] {
						t.Errorf("a client went from machine %d to %d, though only %d went", first[i], second[i], gone)
					}
				}
				if n := differ(second, ask(1)); n != 0 {
					t.Errorf("%d clients have left for different machines by the two ports", n)
				}
				f.change(t, "add", "443/tcp+udp", secure(gone)...)
				f.change(t, "set", "80/tcp+udp", f.backends("", gone)...)
			})
		}
	}
}
