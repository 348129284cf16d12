// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/internal/maps"
)

func TestCheckDevice(t *testing.T) {
	for _, test := range []struct{ word, why string }{
		{"eth0", ""},
		{"eth0.100", ""},
		{strings.Repeat("a", 127), ""},
		{"ppp+", ""},
		{"a-name-of-15-by+", ""},
		{"", "a device has no name; give a name that `ip link` shows"},
		{strings.Repeat("a", 128), `device "` + strings.Repeat("a", 128) + `" is longer than 127 bytes; give a name that ` + "`ip link` shows"},
		{"a-prefix-too-long+", `device "a-prefix-too-long" is longer than 15 bytes; give a name that ` + "`ip link` shows"},
		{"+", `device "+" would be every device; leave it out to mean that`},
		{"..", `device ".." cannot exist; give a name that ` + "`ip link` shows"},
		{"a/b", `device "a/b" has a character that no device has; give a name that ` + "`ip link` shows"},
		{"a b+", `device "a b" has a character that no device has; give a name that ` + "`ip link` shows"},
		{"e\x1b[1m", `device "e\x1b[1m" has a character that no device has; give a name that ` + "`ip link` shows"},
	} {
		err := checkDevice(test.word)
		if test.why == "" {
			if err != nil {
				t.Errorf("%q: %v", test.word, err)
			}
			continue
		}
		checkError(t, err, ErrSyntax, test.why)
	}
}

func TestDevicesConflict(t *testing.T) {
	for _, test := range []struct {
		a, b     string
		conflict bool
	}{
		{"80 ppp+", "80 ppp+", true},
		{"80 ppp+", "80", false},
		{"80 ppp+", "80 ppp0", false},
		{"80 ppp+", "80 ppp1+", false},
		{"80 ppp+", "80 eth+", false},
		{"80 ppp+ eth0", "80 eth0", true},
		{"80-90 ppp+", "80-90 ppp0", false},
		{"80-90 ppp+", "85-95 ppp0", true},
		{"80-90 ppp1+", "85-95 ppp+", true},
		{"80-90 ppp1+", "85-95 ppp2+", false},
		{"80-90 ppp+", "85 ppp0", false},
		{"80-90 ppp+", "91-95 ppp0", false},
		{"80-90 ppp+", "85-95", false},
	} {
		a, b := frontend(t, test.a), frontend(t, test.b)
		if a.Conflicts(b) != test.conflict || b.Conflicts(a) != test.conflict {
			t.Errorf("%s and %s: %t and %t, want %t", test.a, test.b, a.Conflicts(b), b.Conflicts(a), test.conflict)
		}
	}
}

func TestSettleClaims(t *testing.T) {
	place := claimPlace{protocol: TCP, single: true}
	ranges := claimPlace{protocol: TCP}
	elsewhere := claimPlace{protocol: TCP, single: true, address: netip.MustParseAddr("192.0.2.1")}
	for _, test := range []struct {
		name   string
		claims []claim
		// hold are the owners of claims that hold, in any order.
		hold []int
	}{
		{"a name beats a pattern", []claim{{place, 7, PortRange{80, 80}, 3, 0, "ppp+"}, {place, 7, PortRange{80, 80}, byName, 1, "ppp0"}}, []int{1}},
		{"a longer pattern beats a shorter one", []claim{{place, 7, PortRange{80, 80}, 4, 0, "ppp1+"}, {place, 7, PortRange{80, 80}, 3, 1, "ppp+"}}, []int{0}},
		{"the first of two names", []claim{{place, 7, PortRange{80, 80}, byName, 1, "b"}, {place, 7, PortRange{80, 80}, byName, 0, "a"}}, []int{0}},
		{"another device", []claim{{place, 7, PortRange{80, 80}, 3, 0, "ppp+"}, {place, 8, PortRange{80, 80}, byName, 1, "ppp1"}}, []int{0, 1}},
		{"another port", []claim{{place, 7, PortRange{80, 80}, 3, 0, "ppp+"}, {place, 7, PortRange{81, 81}, byName, 1, "ppp0"}}, []int{0, 1}},
		{"another address", []claim{{place, 7, PortRange{80, 80}, 3, 0, "ppp+"}, {elsewhere, 7, PortRange{80, 80}, byName, 1, "ppp0"}}, []int{0, 1}},
		{"ranges that overlap", []claim{{ranges, 7, PortRange{80, 90}, 3, 0, "ppp+"}, {ranges, 7, PortRange{85, 95}, byName, 1, "alt"}, {ranges, 7, PortRange{96, 99}, 3, 2, "ppp+"}}, []int{1, 2}},
	} {
		hold, lose := settleClaims(test.claims)
		var owners []int
		for _, c := range hold {
			owners = append(owners, c.owner)
		}
		slices.Sort(owners)
		if !slices.Equal(owners, test.hold) || len(hold)+len(lose) != len(test.claims) {
			t.Errorf("%s: %v hold, want %v; %d lose", test.name, owners, test.hold, len(lose))
		}
	}
}

func TestSortDevices(t *testing.T) {
	names, known := sortDevices([]string{"wan0", "eth1", "wan0"}, []maps.KnownDevice{{Ifindex: 2}, {Ifindex: 3}})
	if !slices.Equal(names, []string{"eth1", "wan0"}) || !slices.Equal(known, []maps.KnownDevice{{Ifindex: 3}, {Ifindex: 2}}) {
		t.Errorf("got %v, %v", names, known)
	}
}
