// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/test/lab"
)

// backend add, set, drain and del do what they say, list and show tell it, and
// what is wrong is told apart by the exit status. Doing it again changes nothing.
func TestBackendWords(t *testing.T) {
	t.Parallel()
	f := newSilentFleet(t, 3)
	address := func(i int) string { return at(f.pods[i].Addr.V4, fleetPort).String() }
	backend := func(i, weight int, state string) lab.Backend {
		return lab.Backend{
			Address: f.pods[i].Addr.V4.String(), Port: fleetPort, PortEnd: fleetPort, Weight: uint16(weight), State: state,
		}
	}
	x := f.xfwd
	f.publish(t, "80/tcp+udp", []string{address(0), address(1) + ",weight=3"}, "--balance", "round-robin", "--name", "web")
	if got := x.List()[0].Balance; got != "round-robin" {
		t.Errorf("list says balance %q", got)
	}
	expect := func(want ...lab.Backend) {
		t.Helper()
		forwards := x.List()
		if len(forwards) != 2 {
			t.Fatalf("there are %d forwards, want 2", len(forwards))
		}
		for _, forward := range forwards {
			if difference := cmp.Diff(want, forward.Backends); difference != "" {
				t.Errorf("%s: want (-), got (+):\n%s", forward.Frontend.Protocol, difference)
			}
		}
	}
	expect(backend(0, 1, "active"), backend(1, 3, "active"))
	for _, step := range []struct {
		words []string
		want  []lab.Backend
	}{
		{[]string{"add", "80/tcp+udp", address(2) + ",weight=7"}, []lab.Backend{backend(0, 1, "active"), backend(1, 3, "active"), backend(2, 7, "active")}},
		{[]string{"set", "80/tcp+udp", address(2) + ",weight=5", address(0) + ",weight=2"}, []lab.Backend{backend(0, 2, "active"), backend(1, 3, "active"), backend(2, 5, "active")}},
		{[]string{"drain", "web", address(1)}, []lab.Backend{backend(0, 2, "active"), backend(1, 3, "draining"), backend(2, 5, "active")}},
		{[]string{"set", "web", address(1) + ",weight=4"}, []lab.Backend{backend(0, 2, "active"), backend(1, 4, "active"), backend(2, 5, "active")}},
		{[]string{"set", "web", address(1) + ",weight=0"}, []lab.Backend{backend(0, 2, "active"), backend(1, 0, "draining"), backend(2, 5, "active")}},
		{[]string{"del", "web", address(1), address(0)}, []lab.Backend{backend(2, 5, "active")}},
		{[]string{"del", "web", address(2)}, []lab.Backend{}},
		{[]string{"add", "web", address(1)}, []lab.Backend{backend(1, 1, "active")}},
	} {
		x.Do(append([]string{"backend"}, step.words...)...)
		expect(step.want...)
		if step.words[0] != "del" {
			x.Do(append([]string{"backend"}, step.words...)...)
			expect(step.want...)
		}
	}
	mustFail(t, x.Run("backend", "del", "web", address(0)), 4, address(0))
	mustFail(t, x.Run("backend", "drain", "web", address(0)), 4, address(0))
	mustFail(t, x.Run("backend", "set", "web", address(0)+",weight=2"), 4, address(0))
	mustFail(t, x.Run("backend", "add", "81", address(0)), 4, "81")
	mustFail(t, x.Run("backend", "add", "web", address(1)+",weight=2"), 3, "backend set")
	mustFail(t, x.Run("backend", "add", "web", address(0)+",weight=1001"), 2, "1000")
	mustFail(t, x.Run("backend", "add", "web"), 2)
	expect(backend(1, 1, "active"))
}

// A change of backends leaves the forward's counters as they are, and its order
// is the user's.
func TestBackendChangeKeepsCounters(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.publish(t, "80", f.backends("", 2, 0))
	for range 10 {
		f.ask(t, "tcp", at(f.HostAddr.V4, 80), anyPort)
	}
	before := settled(t, f.xfwd)[0]
	f.change(t, "add", "80", f.backends("", 1)...)
	after := f.xfwd.List()[0]
	if difference := cmp.Diff(before.Counters, after.Counters); difference != "" {
		t.Errorf("before (-), after (+):\n%s", difference)
	}
	var order []string
	for _, backend := range after.Backends {
		order = append(order, backend.Address)
	}
	want := []string{}
	for _, i := range []int{2, 0, 1} {
		want = append(want, f.pods[i].Addr.V4.String(), f.pods[i].Addr.V6.String())
	}
	if !slices.Equal(order, want) {
		t.Errorf("backends are listed as %v, want %v", order, want)
	}
}

// show -o json counts what each backend has.
func TestShowCountsConnectionsOfBackends(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.publish(t, "80", f.all(), "--balance", "round-robin")
	f.open(t, "tcp", at(f.HostAddr.V4, 80), 6)
	f.open(t, "tcp", at(f.HostAddr.V6, 80), 3)
	active := map[string]int{}
	for _, b := range f.show(t, "80") {
		active[b.Address] = b.Connections()
	}
	want := map[string]int{}
	for _, pod := range f.pods {
		want[pod.Addr.V4.String()], want[pod.Addr.V6.String()] = 2, 1
	}
	if difference := cmp.Diff(want, active); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
}

// shownBackend is a backend of `xfwd show -o json`.
type shownBackend struct {
	lab.Backend
	Active *int `json:"active"`
}

// Connections is how many it has, or -1 if that is not said.
func (b shownBackend) Connections() int {
	if b.Active == nil {
		return -1
	}
	return *b.Active
}

// show returns the backends of the only forward of that name.
func (f *fleet) show(t *testing.T, name string) []shownBackend {
	t.Helper()
	var forwards []struct {
		Backends []shownBackend `json:"backends"`
	}
	output := f.xfwd.Do("show", name, "-o", "json").Stdout
	if err := json.Unmarshal([]byte(output), &forwards); err != nil || len(forwards) != 1 {
		t.Fatalf("%v in %s", err, output)
	}
	return forwards[0].Backends
}
