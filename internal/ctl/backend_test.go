// SPDX-License-Identifier: Apache-2.0

package ctl

import "testing"

func TestParseBackend(t *testing.T) {
	for _, test := range []struct {
		word, want, label string
		state             BackendState
	}{
		{"30080", "30080", "this host:30080", BackendActive},
		{"10.0.1.100:80", "10.0.1.100:80", "10.0.1.100:80", BackendActive},
		{"[2001:db8::9]:80,weight=3", "[2001:db8::9]:80,weight=3", "[2001:db8::9]:80,weight=3", BackendActive},
		{"30000-30005", "30000-30005", "this host:30000-30005", BackendActive},
		{"localhost:3000", "3000", "this host:3000", BackendActive},
		{"localhost:3000-3009,weight=3", "3000-3009,weight=3", "this host:3000-3009,weight=3", BackendActive},
		{"80,weight=1", "80", "this host:80", BackendActive},
		{"80,weight=1000", "80,weight=1000", "this host:80,weight=1000", BackendActive},
		{"80,state=active", "80", "this host:80", BackendActive},
		{"80,state=draining", "80,state=draining", "this host:80,state=draining", BackendDraining},
		{"80,state=draining,weight=3", "80,weight=3,state=draining", "this host:80,weight=3,state=draining", BackendDraining},
		{"80,weight=0", "80,weight=0", "this host:80,weight=0", BackendDraining},
		{"80,weight=0,state=draining", "80,weight=0", "this host:80,weight=0", BackendDraining},
	} {
		t.Run(test.word, func(t *testing.T) {
			b, err := ParseBackend(test.word)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != test.want || b.Label() != test.label || b.State != test.state {
				t.Errorf("got %s, %s, %s", b, b.Label(), b.State)
			}
			if b != b.canonical() {
				t.Errorf("%#v is %#v in canonical form", b, b.canonical())
			}
		})
	}
}

func TestParseBackendRefuses(t *testing.T) {
	for _, test := range []struct{ word, why string }{
		{"", "the port is missing; write a number from 1 to 65535"},
		{"0", "there is no port 0; ports are 1 to 65535"},
		{"65536", "there is no port 65536; ports are 1 to 65535"},
		{"80-79", "the range runs backwards; write 79-80"},
		{"80/tcp", "a backend has the protocol of its frontend; leave the slash and what follows it out"},
		{"80,", `"" is no option of a backend; there are weight=N and state=draining`},
		{"80,wieght=2", `"wieght=2" is no option of a backend; there are weight=N and state=draining`},
		{"80,weight=", `weight "" is not a number from 0 to 1000; write one, as in weight=3`},
		{"80,weight=1001", `weight "1001" is not a number from 0 to 1000; write one, as in weight=3`},
		{"80,weight=-1", `weight "-1" is not a number from 0 to 1000; write one, as in weight=3`},
		{"80,weight=03", `weight "03" is not a number from 0 to 1000; write one, as in weight=3`},
		{"80,weight=1,weight=2", "weight is given twice; give it once"},
		{"80,weight=1,", `"" is no option of a backend; there are weight=N and state=draining`},
		{"80,state=", `state "" is unknown; choose active or draining`},
		{"80,state=down", `state "down" is unknown; choose active or draining`},
		{"80,draining", `"draining" is no option of a backend; there are weight=N and state=draining`},
		{"80,state=active,weight=0", "weight=0 means state=draining; leave one of them out"},
		{"0.0.0.0:80", "0.0.0.0 is no address to send to; leave the address out"},
		{"2001:db8::9:80", "an IPv6 address needs brackets; write [2001:db8::7]:80"},
		{"localhost", `port "localhost" is not a number; write 1 to 65535`},
		{"localhost:", "the port is missing; write a number from 1 to 65535"},
		{"localhost:10.0.0.5:80", `port "10.0.0.5:80" is not a number; write 1 to 65535`},
		{"[localhost]:80", "names are not resolved; write 127.0.0.1 or [::1]"},
	} {
		t.Run(test.word, func(t *testing.T) {
			_, err := ParseBackend(test.word)
			checkError(t, err, ErrSyntax, `backend "`+test.word+`": `+test.why)
		})
	}
}
