// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"
)

func TestHostAddress(t *testing.T) {
	lo, eth0, eth1 := netip.MustParseAddr("203.0.113.80"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for _, c := range []struct {
		name     string
		defaults []int
		primary  map[int]netip.Addr
		want     netip.Addr
	}{
		{"none", nil, nil, netip.Addr{}},
		{"of the default route", []int{3}, map[int]netip.Addr{1: lo, 2: eth0, 3: eth1}, eth1},
		{"of the first default route with an address", []int{4, 3}, map[int]netip.Addr{1: lo, 2: eth0, 3: eth1}, eth1},
		{"of the first device", nil, map[int]netip.Addr{2: eth0, 3: eth1}, eth0},
		{"a VIP on lo comes last", nil, map[int]netip.Addr{1: lo, 2: eth0, 3: eth1}, eth0},
		{"a VIP on lo is better than none", nil, map[int]netip.Addr{1: lo}, lo},
		{"uplinks without addresses", []int{2}, map[int]netip.Addr{1: lo, 3: eth1}, lo},
	} {
		// The order of a Go map is any.
		for range 20 {
			if got := hostAddress(c.defaults, c.primary); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
}
