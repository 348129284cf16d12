// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// round-robin goes from backend to backend, TCP and UDP alike.
func TestRoundRobinAlternates(t *testing.T) {
	t.Parallel()
	const count = 3
	f := newFleet(t, count)
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "round-robin")
	for _, network := range networks {
		for _, host := range f.HostAddr.All() {
			var got []int
			for range 4 * count {
				got = append(got, f.ask(t, network, at(host, 80), anyPort))
			}
			for i := range got[count:] {
				if got[i] != got[i+count] || got[i] == got[i+1] || got[i] == got[i+2] {
					t.Fatalf("%s to %v: backends %v are no round of %d", network, host, got, count)
				}
			}
		}
	}
}

// source-hash sends a client to one backend, whatever its port and its protocol,
// and clients to all of them.
func TestSourceHashKeepsTheClient(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	clients := f.crowd(t, 30)
	f.publish(t, "80/tcp+udp", f.all(), "--balance", "source-hash")
	for family, host := range f.HostAddr.All() {
		chosen := map[int]int{}
		for _, client := range clients {
			first := f.ask(t, "tcp", at(host, 80), at(client.Of(host), 0))
			chosen[first]++
			for _, network := range networks {
				for range 5 {
					if got := f.ask(t, network, at(host, 80), at(client.Of(host), 0)); got != first {
						t.Fatalf("%s from %v: backend %d, before %d", network, client.Of(host), got, first)
					}
				}
			}
		}
		// That 30 clients miss one of three is a chance of 1 in 60,000; which clients
		// there are is always the same.
		if len(chosen) != 3 {
			t.Errorf("%s: not all backends were chosen: %v", family, chosen)
		}
	}
}

// least-connections prefers the backend that has become idle, until it has as
// many connections as the others.
func TestLeastConnectionsPrefersTheIdle(t *testing.T) {
	t.Parallel()
	const backends, each = 3, 10
	f := newFleet(t, backends)
	f.publish(t, "80", f.all(), "--balance", "least-connections")
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			conns := f.open(t, "tcp", at(host, 80), backends*each)
			for i := range backends {
				if len(conns[i]) != each {
					t.Errorf("backend %d has %d connections, want %d", i, len(conns[i]), each)
				}
			}
			const idle = 1
			for _, conn := range conns[idle] {
				conn.Close()
			}
			f.awaitConnections(t, idle, 0)
			again := f.open(t, "tcp", at(host, 80), each)
			if len(again[idle]) != each {
				t.Errorf("the idle backend got %d of %d new connections", len(again[idle]), each)
			}
			more := f.open(t, "tcp", at(host, 80), backends*each)
			for i := range backends {
				if len(more[i]) != each {
					t.Errorf("when all were level, backend %d got %d connections, want %d", i, len(more[i]), each)
				}
			}
		})
	}
}

// awaitConnections waits until a backend has so many established connections.
func (f *fleet) awaitConnections(t *testing.T, backend, want int) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		if got := f.connections(backend); got != want {
			return fmt.Errorf("backend %d has %d connections, want %d", backend, got, want)
		}
		return nil
	})
}

// connections counts the established TCP connections of a backend, in both
// families.
func (f *fleet) connections(backend int) int {
	count := 0
	for _, flow := range f.xfwd.Flows() {
		for _, addr := range f.pods[backend].Addr.All() {
			if flow.Target.Address == addr.String() && flow.State == "established" {
				count++
			}
		}
	}
	return count
}
