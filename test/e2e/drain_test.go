// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A drained backend keeps the flows that it has and gets no new ones; show counts
// down to "drained". Weight 0 does the same. Set again, it gets new ones.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name, action, options string
	}{
		{"drain", "drain", ""},
		{"weight 0", "set", ",weight=0"},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			const backends, drained = 3, 1
			f := newFleet(t, backends)
			f.publish(t, "80/tcp+udp", f.all(), "--balance", "round-robin")
			for family, host := range f.HostAddr.All() {
				within(t, f.Network, family, func(t *testing.T) {
					word := at(f.pods[drained].Addr.Of(host), fleetPort).String()
					established := map[string][]*lab.Conn{}
					for _, network := range networks {
						established[network] = f.open(t, network, at(host, 80), 2*backends)[drained]
						if len(established[network]) != 2 {
							t.Fatalf("backend %d has %d flows, want 2", drained, len(established[network]))
						}
					}
					f.change(t, way.action, "80/tcp+udp", f.backends(way.options, drained)...)
					for _, network := range networks {
						if got := f.open(t, network, at(host, 80), 3*backends); len(got[drained]) != 0 {
							t.Errorf("%d new %s flows came to the drained backend", len(got[drained]), network)
						}
						for _, conn := range established[network] {
							mustEcho(t, conn)
							if got := f.index(t, conn.Server.Addr()); got != drained {
								t.Errorf("a flow of the drained backend went to %d", got)
							}
						}
					}
					for left := 2; left > 0; left-- {
						f.awaitShown(t, "80/tcp", word, fmt.Sprint(left), "left")
						established["tcp"][left-1].Close()
					}
					f.awaitShown(t, "80/tcp", word, "drained")
					f.change(t, "set", "80/tcp+udp", f.backends(",weight=1", drained)...)
					for _, network := range networks {
						if got := f.open(t, network, at(host, 80), 2*backends); len(got[drained]) != 2 {
							t.Errorf("set again, the backend got %d of %d new %s flows, want 2", len(got[drained]), 2*backends, network)
						}
					}
				})
			}
		})
	}
}

// awaitShown waits until show has a line for a backend with all of these words.
func (f *fleet) awaitShown(t *testing.T, name, backend string, words ...string) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		shown := f.xfwd.Do("show", name).Stdout
	lines:
		for line := range strings.Lines(shown) {
			if !strings.Contains(line, backend) {
				continue
			}
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			return nil
		}
		return fmt.Errorf("no line has %q and %q:\n%s", backend, words, shown)
	})
}

// Where all backends are drained, new clients are refused and the others stay.
func TestAllBackendsDrained(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	f.publish(t, "80/tcp+udp", f.all())
	for family, host := range f.HostAddr.All() {
		within(t, f.Network, family, func(t *testing.T) {
			established := map[string]*lab.Conn{}
			for _, network := range networks {
				established[network] = f.Client.MustConnect(network, at(host, 80))
				mustEcho(t, established[network])
			}
			f.change(t, "drain", "80/tcp+udp", f.all()...)
			for _, network := range networks {
				mustRefuse(t, f.Client, network, at(host, 80))
				mustEcho(t, established[network])
			}
			f.change(t, "set", "80/tcp+udp", f.backends(",weight=1", 1)...)
			for _, network := range networks {
				if got := f.ask(t, network, at(host, 80), anyPort); got != 1 {
					t.Errorf("backend %d answered, want 1", got)
				}
				mustEcho(t, established[network])
			}
			f.change(t, "set", "80/tcp+udp", f.backends(",weight=1", 0)...)
		})
	}
}

// Adding, draining and setting backends under load loses nothing at all.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"maglev", "round-robin", "random", "least-connections"} {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 4)
			f.xfwd.MaxFlows = "65536"
			f.publish(t, "80/tcp+udp", f.backends("", 0, 1), "--balance", balance)
			work := f.work(t, 80)
			for range 5 {
				f.change(t, "add", "80/tcp+udp", f.backends("", 2, 3)...)
				f.change(t, "drain", "80/tcp+udp", f.backends("", 0)...)
				f.change(t, "set", "80/tcp+udp", f.backends(",weight=5", 0, 1)...)
				f.change(t, "drain", "80/tcp+udp", f.backends("", 2, 3)...)
				f.change(t, "set", "80/tcp+udp", f.backends(",weight=2", 2)...)
				f.change(t, "set", "80/tcp+udp", f.backends(",weight=0", 1)...)
				f.change(t, "set", "80/tcp+udp", f.backends(",weight=1", 0, 1, 2, 3)...)
			}
			work.end(t, 0)
		})
	}
}
