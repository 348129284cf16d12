// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestParseEndpointFilter(t *testing.T) {
	for _, s := range []string{
		"192.0.2.7", "192.0.2.0/24", "192.0.2.7:443", "192.0.2.0/24:443", "0.0.0.0/0", ":443",
		"2001:db8::7", "2001:db8::/32", "[2001:db8::7]:443", "[2001:db8::/32]:443", "::/0",
	} {
		f, err := ParseEndpointFilter(s)
		if err != nil || f.String() != s {
			t.Errorf("%q reads as %q, %v", s, f, err)
		}
	}
	for s, want := range map[string]string{
		"":                     `"" is not an IP address; write one like 192.0.2.7, 192.0.2.0/24, [2001:db8::7]:443 or :443`,
		"80":                   `"80" is not an IP address; write one like 192.0.2.7, 192.0.2.0/24, [2001:db8::7]:443 or :443`,
		"localhost":            `"localhost" is not an IP address; write one like 192.0.2.7, 192.0.2.0/24, [2001:db8::7]:443 or :443`,
		":0":                   "there is no port 0; ports are 1 to 65535",
		"192.0.2.7:":           "the port is missing; write a number from 1 to 65535",
		"192.0.2.7:http":       `port "http" is not a number; write 1 to 65535`,
		"192.0.2.7/24":         "192.0.2.7/24 has bits behind its length; write 192.0.2.0/24",
		"192.0.2.0/33":         `"192.0.2.0/33" is not a prefix; write one like 192.0.2.0/24 or 2001:db8::/32`,
		"[2001:db8::7":         "the bracket is not closed; write one like [2001:db8::7]:443 or [2001:db8::/32]:443",
		"[2001:db8::7]":        "a colon and a port must follow the bracket; without a port, write no brackets",
		"fe80::1%eth0":         "flows have no zones; write fe80::1",
		"::ffff:192.0.2.0/120": "::ffff:192.0.2.0/120 is an IPv4 prefix in IPv6 clothes; write 192.0.2.0/24",
		"::ffff:192.0.2.7":     "::ffff:192.0.2.7 is an IPv4 address in IPv6 clothes; write 192.0.2.7",
	} {
		_, err := ParseEndpointFilter(s)
		if !errors.Is(err, ErrSyntax) || err.Error() != want {
			t.Errorf("%q gives %v, want %s", s, err, want)
		}
	}
}

// A flow must pass each of the filters.
func TestFlowFilterMatches(t *testing.T) {
	flow := Flow{
		Frontend: Frontend{Protocol: TCP},
		Client:   endpoint(netip.MustParseAddrPort("192.0.2.7:40000")),
		Target:   endpoint(netip.MustParseAddrPort("[2001:db8::9]:80")),
		State:    FlowClosing,
		Idle:     90 * time.Second,
	}
	ends := func(client, target string) FlowFilter {
		t.Helper()
		var f FlowFilter
		for _, end := range []struct {
			word string
			into *EndpointFilter
		}{{client, &f.Client}, {target, &f.Target}} {
			if end.word == "" {
				continue
			}
			var err error
			if *end.into, err = ParseEndpointFilter(end.word); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	for _, test := range []struct {
		filter FlowFilter
		want   bool
	}{
		{FlowFilter{}, true},
		{ends("192.0.2.7", ""), true},
		{ends("192.0.2.0/24", "[2001:db8::/32]:80"), true},
		{ends(":40000", ":80"), true},
		{ends("192.0.2.8", ""), false},
		{ends("192.0.3.0/24", ""), false},
		{ends("::/0", ""), false},
		{ends("192.0.2.7:40001", ""), false},
		{ends("192.0.2.7", ":81"), false},
		{ends("", "2001:db8::8"), false},
		{FlowFilter{Protocol: TCP}, true},
		{FlowFilter{Protocol: UDP}, false},
		{FlowFilter{States: []FlowState{FlowClosed, FlowClosing}}, true},
		{FlowFilter{States: []FlowState{FlowClosed}}, false},
		{FlowFilter{Idle: 90 * time.Second}, true},
		{FlowFilter{Idle: 91 * time.Second}, false},
		{FlowFilter{Protocol: TCP, Idle: 91 * time.Second}, false},
	} {
		if got := test.filter.Match(flow); got != test.want {
			t.Errorf("%+v matches: %v, want %v", test.filter, got, test.want)
		}
	}
}
