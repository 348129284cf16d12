// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Only targets that see their clients' addresses are known as such; packets leave
// for the others as well.
func TestTargets(t *testing.T) {
	address := netip.MustParseAddr
	for _, c := range []struct {
		name     string
		backends []maps.Backend
		want     []netip.Addr
		others   []netip.Addr
	}{
		{"none", nil, nil, nil},
		{"this host", []maps.Backend{{}}, nil, nil},
		{"loopback", []maps.Backend{{Address: address("127.0.0.1")}}, nil, nil},
		{"masqueraded", []maps.Backend{{Address: address("192.0.2.1"), Source: maps.BackendMasquerades}}, nil, []netip.Addr{address("192.0.2.1")}},
		{
			"kept",
			[]maps.Backend{
				{Address: address("192.0.2.1"), Source: maps.BackendKeepsSource},
				{Address: address("2001:db8::1"), Source: maps.BackendKeepsSourceAcross},
				{Address: address("192.0.2.2"), Source: maps.BackendMasquerades},
				{},
			},
			[]netip.Addr{address("192.0.2.1"), address("2001:db8::1")}, []netip.Addr{address("192.0.2.2")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := &transaction{host: &loader.Host{}, after: newState(1)}
			for i, b := range c.backends {
				b.ID = uint32(i + 1)
				tx.after.put(backend{Backend: b})
			}
			options := cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty(), cmpopts.SortSlices(netip.Addr.Less)}
			all, targets := tx.backends([]*state{tx.after})
			if diff := cmp.Diff(c.want, targets, options); diff != "" {
				t.Errorf("targets:\n%s", diff)
			}
			if diff := cmp.Diff(slices.Concat(c.want, c.others), all, options); diff != "" {
				t.Errorf("backends:\n%s", diff)
			}
			if got, want := tx.leaves(), len(all) > 0; got != want {
				t.Errorf("packets leave: %v, want %v", got, want)
			}
		})
	}
}
