// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// Only targets that see their clients' addresses are known by them; packets leave
// for the others as well.
func TestTargets(t *testing.T) {
	address := netip.MustParseAddr
	for _, c := range []struct {
		name     string
		backends []maps.Backend
		want     []netip.Addr
		leaves   bool
	}{
		{"none", nil, nil, false},
		{"this host", []maps.Backend{{}}, nil, false},
		{"loopback", []maps.Backend{{Address: address("127.0.0.1")}}, nil, false},
		{"masqueraded", []maps.Backend{{Address: address("192.0.2.1"), Source: maps.BackendMasquerades}}, nil, true},
		{
			"kept",
			[]maps.Backend{
				{Address: address("192.0.2.1"), Source: maps.BackendKeepsSource},
				{Address: address("2001:db8::1"), Source: maps.BackendKeepsSourceAcross},
				{Address: address("192.0.2.2"), Source: maps.BackendMasquerades},
				{},
			},
			[]netip.Addr{address("192.0.2.1"), address("2001:db8::1")}, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx := &transaction{host: &loader.Host{}, after: newState(1)}
			for i, b := range c.backends {
				b.ID = uint32(i + 1)
				tx.after.put(backend{Backend: b})
			}
			got := tx.targets([]*state{tx.after})
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty(), cmpopts.SortSlices(netip.Addr.Less)); diff != "" {
				t.Errorf("targets:\n%s", diff)
			}
			if got := tx.leaves(); got != c.leaves {
				t.Errorf("packets leave: %v, want %v", got, c.leaves)
			}
		})
	}
}
