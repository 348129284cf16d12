// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"testing"
	"time"
)

// withHealths gives the backends of a forward their health, by position: u is up, d is
// down, anything else is unknown.
func withHealths(f Forward, healths string) Forward {
	f = f.Canonical()
	for i := range f.Backends {
		f.Backends[i].Health = map[byte]Health{'u': HealthUp, 'd': HealthDown}[healths[i]]
	}
	return f
}

// healthsOf is the inverse.
func healthsOf(f Forward) string {
	s := ""
	for _, b := range f.Backends {
		s += map[Health]string{"": "-", HealthUp: "u", HealthDown: "d"}[b.Health]
	}
	return s
}

// three is a forward with three backends, and a check if there is a word for it.
func three(t *testing.T, word string) Forward {
	t.Helper()
	spec := Spec{Frontend: "80", Backends: []string{"10.0.0.1:80", "10.0.0.2:80,weight=3", "10.0.0.3:80,state=draining"}, Check: word}
	fs, err := spec.Forwards(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return fs[0]
}

// What is known of backends outlives every change of a forward, as long as it has a check
// and they are where they were.
func TestHealthOutlivesChanges(t *testing.T) {
	for _, test := range []struct {
		name   string
		check  string
		have   string
		change func(*testing.T, Forward) Change
		want   string
	}{
		{"nothing", "tcp", "ud-", nil, "ud-"},
		{"added again", "tcp", "ud-", func(t *testing.T, f Forward) Change { return Add([]Forward{withHealths(f, "---")}, false) }, "ud-"},
		{"another check", "tcp", "ud-", func(t *testing.T, f Forward) Change {
			f.Check = check(t, "http")
			return Add([]Forward{withHealths(f, "---")}, false)
		}, "ud-"},
		{"no check", "tcp", "udu", func(t *testing.T, f Forward) Change {
			f.Check = Check{}
			return Add([]Forward{f}, false)
		}, "---"},
		{"no check before", "", "udu", nil, "---"},
		{"a check that is new", "", "udu", func(t *testing.T, f Forward) Change {
			f.Check = check(t, "tcp")
			return Add([]Forward{f}, false)
		}, "---"},
		{"replaced", "tcp", "udu", func(t *testing.T, f Forward) Change {
			f = withHealths(f, "---")
			f.Comment = "another"
			f.Backends[0], f.Backends[2] = f.Backends[2], f.Backends[0]
			return ApplyFile([]Forward{f}, true)
		}, "udu"},
		{"moved", "tcp", "udu", func(t *testing.T, f Forward) Change {
			f = withHealths(f, "---")
			f.Backends[0].Ports = PortRange{81, 81}
			return ApplyFile([]Forward{f}, true)
		}, "-du"},
		{"drained", "tcp", "udu", func(t *testing.T, f Forward) Change { return must(t)(DrainBackends("80", []string{"10.0.0.2:80"})) }, "udu"},
		{"weighed", "tcp", "udu", func(t *testing.T, f Forward) Change {
			return must(t)(SetBackends("80", []string{"10.0.0.2:80,weight=9"}))
		}, "udu"},
		{"the same given again", "tcp", "udu", func(t *testing.T, f Forward) Change {
			return must(t)(AddBackends("80", []string{"10.0.0.1:80", "10.0.0.9:80"}))
		}, "udu-"},
		{"one less", "tcp", "udu", func(t *testing.T, f Forward) Change { return must(t)(DeleteBackends("80", []string{"10.0.0.1:80"})) }, "du"},
	} {
		t.Run(test.name, func(t *testing.T) {
			have := []Forward{withHealths(three(t, test.check), test.have)}
			change := func(have []Forward) ([]Forward, error) { return have, nil }
			if test.change != nil {
				change = test.change(t, have[0])
			}
			want, err := change(have)
			if err != nil {
				t.Fatal(err)
			}
			if got := healthsOf(keepHealth(have, want)[0]); got != test.want {
				t.Errorf("%s becomes %s, want %s", test.have, got, test.want)
			}
			if got := healthsOf(have[0]); got != test.have {
				t.Errorf("what there is was changed: %s", got)
			}
		})
	}
}

// must takes a change that there is.
func must(t *testing.T) func(Change, error) Change {
	return func(c Change, err error) Change {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// What was found out is recorded if it is new, of backends that are there, in any forward
// that has a check.
func TestWithHealth(t *testing.T) {
	f, unchecked := withHealths(three(t, "tcp"), "u--"), withHealths(three(t, ""), "---")
	unchecked.Frontend = frontend(t, "81")
	other := unchecked
	other.Frontend = frontend(t, "82")
	found := func(f Forward, i int, h Health) BackendHealth { return BackendHealth{f.Frontend, f.Backends[i], h} }
	moved := found(f, 1, HealthUp)
	moved.Backend.Ports = PortRange{1, 1}
	drained := found(f, 2, HealthUp)
	drained.Backend.State, drained.Backend.Weight = BackendActive, 7
	want, recorded := withHealth([]Forward{f, unchecked}, []BackendHealth{
		found(f, 0, HealthUp), found(f, 1, HealthDown), moved, drained, found(unchecked, 0, HealthDown), found(other, 0, HealthDown),
	})
	if got := healthsOf(want[0]) + healthsOf(want[1]); got != "udu---" {
		t.Errorf("got %s", got)
	}
	if got := healthsOf(f); got != "u--" {
		t.Errorf("what there is was changed: %s", got)
	}
	if len(recorded) != 2 || recorded[0].Backend != f.Backends[1] || recorded[1].Backend.Place() != f.Backends[2].Place() {
		t.Errorf("%v is said to be new", recorded)
	}
	if b := want[0].Backends[2]; b.State != BackendDraining || b.Weight != 1 {
		t.Errorf("%s is what its user did not want", b)
	}
}

// Health is nothing that users say, and yet a change.
func TestHealthIsAChange(t *testing.T) {
	f := three(t, "tcp")
	up, down := withHealths(f, "uuu"), withHealths(f, "udu")
	if !up.Equal(down) {
		t.Errorf("forwards whose backends are down are others")
	}
	added, removed, changed, kept := Difference([]Forward{up}, []Forward{down})
	if len(added)+len(removed)+len(kept) > 0 || len(changed) != 1 || healthsOf(changed[0]) != "udu" {
		t.Errorf("%d added, %d removed, %d changed, %d kept", len(added), len(removed), len(changed), len(kept))
	}
	if _, _, _, kept = Difference([]Forward{down}, []Forward{down}); len(kept) != 1 {
		t.Error("the same health is a change")
	}
}

// People are told what is down, also where a line has no room for all.
func TestLabelsOfWhatIsDown(t *testing.T) {
	f := withHealths(three(t, "tcp"), "udd")
	if got, want := f.Backends[1].Label(), "10.0.0.2:80,weight=3 (down)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := f.Backends[1].String(), "10.0.0.2:80,weight=3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := f.BackendsLabel(), "10.0.0.1:80 and 2 more (2 down)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	f = withHealths(f, "uuu")
	if got, want := f.BackendsLabel(), "10.0.0.1:80 and 2 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
