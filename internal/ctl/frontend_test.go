// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"
	"testing"
)

func TestParseFrontend(t *testing.T) {
	for _, test := range []struct {
		word string
		want []string
	}{
		{"80", []string{"80/tcp"}},
		{"53/udp", []string{"53/udp"}},
		{"443/tcp+udp", []string{"443/tcp", "443/udp"}},
		{"192.0.2.7:80", []string{"192.0.2.7:80/tcp"}},
		{"[2001:db8::7]:80", []string{"[2001:db8::7]:80/tcp"}},
		{"[2001:DB8:0::7]:53/udp", []string{"[2001:db8::7]:53/udp"}},
		{"127.0.0.1:8080", []string{"127.0.0.1:8080/tcp"}},
		{"9000-9005", []string{"9000-9005/tcp"}},
		{"1-65535/udp", []string{"1-65535/udp"}},
		{"80-80", []string{"80/tcp"}},
		{"[::1]:9000-9005/tcp+udp", []string{"[::1]:9000-9005/tcp", "[::1]:9000-9005/udp"}},
	} {
		t.Run(test.word, func(t *testing.T) {
			frontends, err := ParseFrontend(test.word)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range frontends {
				got = append(got, f.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestParseFrontendRefuses(t *testing.T) {
	for _, test := range []struct{ word, why string }{
		{"", "the port is missing; write a number from 1 to 65535"},
		{"0", "there is no port 0; ports are 1 to 65535"},
		{"00", "there is no port 00; ports are 1 to 65535"},
		{"65536", "there is no port 65536; ports are 1 to 65535"},
		{"99999999999999999999", "there is no port 99999999999999999999; ports are 1 to 65535"},
		{"80-79", "the range runs backwards; write 79-80"},
		{"80-", "the port is missing; write a number from 1 to 65535"},
		{"-80", "the port is missing; write a number from 1 to 65535"},
		{"0-80", "there is no port 0; ports are 1 to 65535"},
		{"80-90-99", `port "90-99" is not a number; write 1 to 65535`},
		{"+80", `port "+80" is not a number; write 1 to 65535`},
		{" 80", `port " 80" is not a number; write 1 to 65535`},
		{"80 ", `port "80 " is not a number; write 1 to 65535`},
		{"8 0", `port "8 0" is not a number; write 1 to 65535`},
		{"0x50", `port "0x50" is not a number; write 1 to 65535`},
		{"８０", `port "８０" is not a number; write 1 to 65535`},
		{"http", `port "http" is not a number; write 1 to 65535`},
		{"080", `port "080" has a leading zero; write 80`},
		{"80/", "the protocol is missing after the slash; write /tcp, /udp or /tcp+udp"},
		{"80/sctp", `protocol "sctp" is unknown; write tcp, udp or tcp+udp`},
		{"80/TCP", `protocol "TCP" is unknown; write tcp, udp or tcp+udp`},
		{"80/tcp/udp", `protocol "tcp/udp" is unknown; write tcp, udp or tcp+udp`},
		{":80", "no address stands before the colon; leave the colon out to mean every address of this host"},
		{"*:80", "no address stands before the colon; leave the colon out to mean every address of this host"},
		{"192.0.2.7", "the port is missing; write 192.0.2.7:80"},
		{"192.0.2.7:", "the port is missing; write a number from 1 to 65535"},
		{"192.0.2:80", `"192.0.2" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{"192.0.2.256:80", `"192.0.2.256" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{"192.0.2.07:80", `"192.0.2.07" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{"host:80", `"host" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{"localhost:80", "names are not resolved; write 127.0.0.1 or [::1]"},
		{"0.0.0.0:80", "0.0.0.0 is no address to send to; leave the address out"},
		{"[::]:80", ":: is no address to send to; leave the address out"},
		{"224.0.0.1:80", "224.0.0.1 is a multicast address; only unicast is forwarded"},
		{"[ff02::1]:80", "ff02::1 is a multicast address; only unicast is forwarded"},
		{"255.255.255.255:80", "255.255.255.255 is the broadcast address; only unicast is forwarded"},
		{"[::ffff:192.0.2.7]:80", "::ffff:192.0.2.7 is an IPv4 address in IPv6 clothes; write 192.0.2.7"},
		{"[fe80::1%eth0]:80", "an address takes no zone; write fe80::1 and give the device with --device"},
		{"2001:db8::7:80", "an IPv6 address needs brackets; write [2001:db8::7]:80"},
		{"::1", "an IPv6 address needs brackets; write [2001:db8::7]:80"},
		{"[2001:db8::7]", "a colon and a port must follow the bracket; write [ADDRESS]:PORT"},
		{"[2001:db8::7", "the bracket is not closed; write [ADDRESS]:PORT"},
		{"[2001:db8::7]80", "a colon and a port must follow the bracket; write [ADDRESS]:PORT"},
		{"[192.0.2.7]:80", "brackets are for IPv6; write 192.0.2.7 without them"},
		{"[]:80", `"" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{"192.0.2.7:80:90", "an IPv6 address needs brackets; write [2001:db8::7]:80"},
		{"80,weight=3", `port "80,weight=3" is not a number; write 1 to 65535`},
	} {
		t.Run(test.word, func(t *testing.T) {
			_, err := ParseFrontend(test.word)
			checkError(t, err, ErrSyntax, `frontend "`+test.word+`": `+test.why)
		})
	}
}

func TestConflicts(t *testing.T) {
	for _, test := range []struct {
		a, b     string
		conflict bool
	}{
		{"80", "80", true},
		{"80", "80/udp", false},
		{"80", "81", false},
		{"80", "192.0.2.7:80", false},
		{"192.0.2.7:80", "192.0.2.7:80", true},
		{"192.0.2.7:80", "192.0.2.8:80", false},
		{"80", "80-90", false},
		{"80-90", "90-99", true},
		{"80-90", "91-99", false},
		{"80-90", "82-84", true},
		{"80-90", "192.0.2.7:80-90", false},
		{"80 eth0", "80 eth0", true},
		{"80 eth0", "80 eth1", false},
		{"80 eth0", "80", false},
		{"80 eth0 eth1", "80 eth1 eth2", true},
		{"80-90 eth0", "85-99 eth0", true},
		{"80-90 eth0", "85-99", false},
	} {
		a, b := frontend(t, test.a), frontend(t, test.b)
		if a.Conflicts(b) != test.conflict || b.Conflicts(a) != test.conflict {
			t.Errorf("%s and %s: conflict is not %v both ways", a.Label(), b.Label(), test.conflict)
		}
	}
}

func TestFrontendOrder(t *testing.T) {
	want := []string{"80", "80/udp", "80-90", "443", "192.0.2.7:80", "192.0.2.7:80 eth0", "192.0.2.7:443", "192.0.2.8:80", "[2001:db8::7]:1"}
	var forwards []Forward
	for _, s := range want {
		forwards = append([]Forward{{Frontend: frontend(t, s)}}, forwards...)
	}
	Sort(forwards)
	for i, f := range forwards {
		if w := frontend(t, want[i]); !f.Frontend.Equal(w) {
			t.Errorf("at %d is %s, want %s", i, f.Frontend.Label(), w.Label())
		}
	}
}
