// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"testing"
)

// testCase is a sequence of packets and other events, and what each must lead
// to. It begins without flows.
type testCase struct {
	name string
	// forwards are the words of `xfwd add`; see forwards.
	forwards []string
	// steps are taken one after the other, anew for each family and link.
	steps []step
	// families and links are where the case makes sense; none means all.
	families []family
	links    []linkLayer
	// stub: the host forwards no packets of others.
	stub bool
}

// step is one event of a case.
type step interface {
	// take makes it happen and fails the test unless it leads to what it must.
	take(*run)
}

// does is a step that needs no description.
type does func(*run)

func (d does) take(r *run) { r.Helper(); d(r) }

// runCases runs cases in some world.
func runCases(t *testing.T, cases []testCase) {
	t.Helper()
	t.Parallel()
	borrowWorld(t).runCases(t, cases)
}

func (w *world) runCases(t *testing.T, cases []testCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if w.router == c.stub {
				w.route(!c.stub)
			}
			for _, f := range orAll(c.families, bothFamilies) {
				for _, l := range orAll(c.links, allLinks) {
					t.Run(f.String()+"/"+l.String(), func(t *testing.T) { w.runCase(t, c, f, l) })
				}
			}
		})
	}
}

func (w *world) runCase(t *testing.T, c testCase, f family, l linkLayer) {
	if l == driver && !w.xdp {
		t.Skip("the kernel has no test runs of XDP for a device (Linux 5.14 does)")
	}
	w.start(t, f, c.forwards)
	r := &run{TB: t, world: w, family: f, link: l, chosen: chosen}
	for i, s := range c.steps {
		s.take(r)
		if t.Failed() {
			t.Fatalf("that was step %d of %d", i+1, len(c.steps))
		}
	}
	r.timeLast(t.Name())
}

func orAll[T any](some, all []T) []T {
	if len(some) == 0 {
		return all
	}
	return some
}

var (
	onlyIPv4     = []family{4}
	onlyIPv6     = []family{6}
	onlyEthernet = []linkLayer{ethernet, driver}
)
