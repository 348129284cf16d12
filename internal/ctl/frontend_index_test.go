// SPDX-License-Identifier: Apache-2.0

package ctl

import "testing"

func TestFrontendIndex(t *testing.T) {
	all := forwards(t, "80 8080", "90 91", "100-200 300-400", "110-120/udp 5000", "150 8080", "1000-65535 22", "8080 9090")
	x := newFrontendIndex(all)
	for _, test := range []struct {
		backend, want string
	}{
		{"79", ""},
		{"80", "80/tcp"},
		{"81", ""},
		{"80-91", "90/tcp"},
		{"150", "150/tcp"},
		{"151", "100-200/tcp"},
		{"201-999", ""},
		{"999-1000", "1000-65535/tcp"},
		{"8080", "8080/tcp"},
		{"8081", "1000-65535/tcp"},
	} {
		b, err := ParseBackend(test.backend)
		if err != nil {
			t.Fatal(err)
		}
		asking := forwards(t, "1 1")[0]
		found, ok := x.covering(nil, target{asking, b})
		got := ""
		if ok {
			got = found.Frontend.String()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.backend, got, test.want)
		}
	}
	// A forward is not its own second one.
	itself := all[0]
	b := itself.Backends[0]
	b.Ports = PortRange{80, 80}
	if found, ok := x.covering(nil, target{itself, b}); ok {
		t.Errorf("80/tcp leads to %s", found)
	}
}

func TestPortList(t *testing.T) {
	for _, test := range []struct {
		ports []uint16
		want  string
	}{
		{[]uint16{22}, "port 22"},
		{[]uint16{22, 80}, "ports 22 and 80"},
		{[]uint16{22, 25, 53, 80}, "ports 22, 25, 53 and 80"},
		{[]uint16{22, 25, 53, 80, 111, 443}, "ports 22, 25, 53, 80 and 2 more"},
	} {
		if got := portList(test.ports); got != test.want {
			t.Errorf("%v: %q, want %q", test.ports, got, test.want)
		}
	}
}
