// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Killed with SIGKILL before each step that could change something, a command
// that changes backends has changed all of them or none; those that are listed are
// those that take new connections; connections live on; and the next command finds
// nothing in its way.
func TestKilledWhileBackendsChange(t *testing.T) {
	t.Parallel()
	const frontend = "80/tcp+udp"
	for _, c := range []struct {
		name string
		// from are the backends before the command.
		from []int
		// action and backends are the command's.
		action, options string
		backends        []int
	}{
		{name: "add", from: []int{0}, action: "add", options: ",weight=2", backends: []int{1, 2}},
		{name: "del", from: []int{0, 1, 2}, action: "del", backends: []int{1}},
		{name: "del the last", from: []int{1, 2}, action: "del", backends: []int{2, 1}},
		{name: "drain", from: []int{0, 1, 2}, action: "drain", backends: []int{0, 1}},
		{name: "set", from: []int{0, 1, 2}, action: "set", options: ",weight=3", backends: []int{0, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3)
			file := filepath.Join(t.TempDir(), "forwards.yaml")
			content := fmt.Sprintf("apiVersion: xfwd/v1\nforwards:\n  - {frontend: %s, balance: round-robin, backends: %q}\n",
				frontend, f.backends("", c.from...))
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(content, `" "`, `", "`)), 0o600); err != nil {
				t.Fatal(err)
			}
			prepare := func() { f.xfwd.Do("apply", "--prune", "-f", file) }
			prepare()
			living := f.Client.MustConnect("tcp", at(f.HostAddr.V4, 80))
			before := backendsListed(f)
			command := append([]string{"backend", c.action, frontend}, f.backends(c.options, c.backends...)...)
			f.xfwd.Do(command...)
			after := backendsListed(f)
			if before == after {
				t.Fatalf("%q changes nothing", command)
			}
			steps := map[string]int{}
			for step := 1; ; step++ {
				prepare()
				killedBefore := f.xfwd.KillAtStep(step, command...)
				steps[killedBefore]++
				when := fmt.Sprintf("killed before step %d, %s", step, killedBefore)
				got := backendsListed(f)
				if got != before && got != after {
					t.Errorf("%s: listed are\n%s, want\n%s or\n%s", when, got, before, after)
				}
				f.mustServeAsListed(t, when)
				want := before
				if got == before {
					want = after
					f.xfwd.Do(command...)
				} else {
					prepare()
				}
				if got := backendsListed(f); got != want {
					t.Errorf("%s: the next command makes it\n%s, want\n%s", when, got, want)
				}
				f.mustServeAsListed(t, when+", then repaired")
				// The backend of this connection was there all the time, or has been
				// deleted many times.
				if err := living.Echo([]byte("still there?")); err != nil {
					t.Fatalf("%s: an established connection ends: %v", when, err)
				}
				if killedBefore == "" {
					break
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("killed before each of %v", steps)
			if len(steps) < 3 {
				t.Error("hardly a step was found: the test does not test what it says")
			}
		})
	}
}

// backendsListed says which backends the forwards have, one forward a line.
func backendsListed(f *fleet) string {
	var b strings.Builder
	for _, forward := range f.xfwd.List() {
		fmt.Fprintf(&b, "%s:", forward.Frontend.Protocol)
		for _, backend := range forward.Backends {
			fmt.Fprintf(&b, " %s %d %s", backend.Address, backend.Weight, backend.State)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// mustServeAsListed fails the test unless those backends take new connections, in
// turns, that are listed as active.
func (f *fleet) mustServeAsListed(t *testing.T, when string) {
	t.Helper()
	for _, forward := range f.xfwd.List() {
		network, to := forward.Frontend.Protocol, at(f.HostAddr.V4, forward.Frontend.Port)
		var active, met []string
		turns := 0
		for _, b := range forward.Backends {
			if b.State == "active" && !strings.Contains(b.Address, ":") {
				active = append(active, b.Address)
				turns += int(b.Weight)
			}
		}
		if turns == 0 {
			if _, err := f.Client.Connect(network, to, anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %s %v has no backend that takes connections, but: %v", when, network, to, err)
			}
			continue
		}
		for range 2 * turns {
			conn, err := f.Client.Connect(network, to, anyPort)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			conn.Close()
			met = append(met, conn.Server.Addr().String())
		}
		slices.Sort(active)
		slices.Sort(met)
		if met = slices.Compact(met); !slices.Equal(met, active) {
			t.Errorf("%s: %s %v is served by %v, listed are %v", when, network, to, met, active)
		}
	}
}
