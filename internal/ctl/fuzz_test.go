// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkRefusal holds for every error of a parser.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrSyntax) {
		t.Errorf("error %q is not ErrSyntax", err)
	}
	if text := err.Error(); text == "" || strings.ContainsAny(text, "\n\r") || strings.Contains(text, ErrSyntax.Error()) {
		t.Errorf("error is not one plain line: %q", text)
	}
}

func FuzzParseFrontend(f *testing.F) {
	for _, seed := range []string{
		"80", "53/udp", "443/tcp+udp", "192.0.2.7:80", "[2001:db8::7]:80", "127.0.0.1:8080", "9000-9005", "1-65535/udp",
		"", "0", "65536", "80-79", "+80", " 80", "080", "80/", "80/sctp", ":80", "[::1]", "[::ffff:192.0.2.7]:80", "[fe80::1%eth0]:80",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		frontends, err := ParseFrontend(s)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		for _, fe := range frontends {
			again, err := ParseFrontend(fe.String())
			if err != nil || len(again) != 1 || !again[0].Equal(fe) {
				t.Errorf("%q is %s, and that is %v, %v", s, fe, again, err)
			}
			if a := fe.Address; a.Zone() != "" || a.Is4In6() || fe.Ports.First == 0 || fe.Ports.Len() < 1 {
				t.Errorf("%q is %#v", s, fe)
			}
		}
	})
}

func FuzzParseEndpointFilter(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.7", "192.0.2.0/24", "192.0.2.7:443", ":443", "2001:db8::7", "[2001:db8::/32]:443", "::/0", "0.0.0.0/0:1",
		"", ":", "80", "[]", "[::1]", "[]:80", "::ffff:192.0.2.7", "::ffff:192.0.2.0/120", "fe80::1%eth0", "192.0.2.7/24", "192.0.2.0/033",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		filter, err := ParseEndpointFilter(s)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if again, err := ParseEndpointFilter(filter.String()); err != nil || again != filter {
			t.Errorf("%q is %s, and that is %v, %v", s, filter, again, err)
		}
		if filter == (EndpointFilter{}) || filter.Addresses.Addr().Is4In6() {
			t.Errorf("%q is %#v", s, filter)
		}
	})
}

func FuzzParseBackend(f *testing.F) {
	for _, seed := range []string{
		"30080", "10.0.1.100:80", "[2001:db8::9]:80,weight=3", "9000-9005", "80,weight=0", "80,weight=1000",
		"80,state=draining", "80,weight=3,state=draining", "80,state=active,weight=0", "80,state=",
		"", "80,", "80,weight=", "80,weight=01", "80,weight=1001", "80,wieght=1", "80,weight=1,weight=2", "80/tcp", "0.0.0.0:80",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		backend, err := ParseBackend(s)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		again, err := ParseBackend(backend.String())
		if err != nil || again != backend {
			t.Errorf("%q is %s, and that is %s, %v", s, backend, again, err)
		}
		if backend.canonical() != backend || backend.Weight > maxWeight {
			t.Errorf("%q is %#v", s, backend)
		}
	})
}

func FuzzParseCheck(f *testing.F) {
	for _, seed := range []string{
		"tcp", "udp,port=53", "http,path=/healthz,port=8080,interval=2s,timeout=1s,rise=1,fall=100", "http,path=/%2C?a=\"b\\", "tcp,interval=250ms",
		"", "ping", "tcp,", "tcp,path=/", "http,path=x", "tcp,interval=1h0m0.0015s", "tcp,timeout=6s", "tcp,rise=0", "tcp,port=1-2", "tcp,port=", "udp,fall=3,fall=3",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCheck(s)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if again, err := ParseCheck(c.String()); err != nil || again != c {
			t.Errorf("%q is %s, and that is %+v, %v", s, c, again, err)
		}
		if k := checkFromKernel(c.toKernel()); k != c {
			t.Errorf("%q comes back from the kernel as %+v", s, k)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{
		"", "apiVersion: xfwd/v1\nforwards: []\n",
		"apiVersion: xfwd/v1\nforwards:\n  - frontend: 80\n    backends: [30080]\n",
		"apiVersion: xfwd/v1\nforwards:\n- {name: web, frontend: '192.0.2.1:443/tcp+udp', backends: ['10.0.1.100:8443'], devices: [eth0], source: preserve, comment: \"a: b # c\"}\n",
		"apiVersion: xfwd/v1\nforwards:\n- {frontend: 80, backends: [1, '2,weight=3', '10.0.0.5:1,state=draining'], balance: random, affinity: 3h, own: always, check: tcp}\n",
		"apiVersion: xfwd/v1\nforwards:\n- {frontend: 80, backends: [1], check: 'http,path=/%2C?a=\"b\\,port=1,interval=1500ms,timeout=1s,rise=1,fall=100'}\n",
		"apiVersion: xfwd/v1\nforwards:\n- {frontend: 80, backends: ['10.0.0.5:1', '[2001:db8::9]:80,weight=0'], source: masquerade}\n- {frontend: 81, backends: []}\n",
		"apiVersion: xfwd/v1\nforwards:\n- {frontend: 80, backends: [1], expiresAt: 2030-12-31T23:59:00.5+01:00}\n- {frontend: 81, backends: [1], expiresAt: '0000-01-01T00:00:00Z'}\n",
		"apiVersion: xfwd/v1\nxdp: [off, eth0=native]\nforwards: []\n",
		"apiVersion: xfwd/v1\nforwards:\n  - frontend: 80\n    backends: &x [30080]\n  - frontend: 81\n    backends: *x\n",
		"apiVersion: xfwd/v1\nforwards:\n  - frontend: 80\n    frontend: 81\n", "a: [", "a: b: c", "- |\n  x\n", "? a\n: b\n", "%YAML 1.2\n---\na: 1\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := ParseFile("f.yaml", []byte(s), time.Unix(0, 0))
		if err != nil {
			checkRefusal(t, err)
			if !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Errorf("error does not name the file: %q", err)
			}
			return
		}
		checkRoundTrip(t, file)
	})
}

// checkRoundTrip writes a file and reads it again.
func checkRoundTrip(t *testing.T, file File) {
	t.Helper()
	data := file.Format()
	again, err := ParseFile("again.yaml", data, time.Unix(0, 0))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	Sort(again.Forwards)
	want := slices.Clone(file.Forwards)
	Sort(want)
	if !slices.EqualFunc(again.Forwards, want, Forward.Equal) || !maps.Equal(again.XDP, file.XDP) {
		t.Errorf("%v became %v by\n%s", file, again, data)
	}
}

// FuzzFormatFile looks for words that YAML would understand as something else
// than text.
func FuzzFormatFile(f *testing.F) {
	for _, seed := range []string{"", "web", "true", "null", "y", ".inf", "0x10", "1e3", ".inf", "~a", "- a", "a: b", "a #b", "'", "\"", "\\", "{", " a ", "é", "2030-01-01", "a\u0085b", "<<", "*x", "&x", "!x", "%x", "@x", "`x"} {
		f.Add(seed, seed, seed, uint16(80), byte(0))
		f.Add(seed, seed, seed, uint16(80), byte(255))
	}
	f.Fuzz(func(t *testing.T, name, comment, device string, port uint16, kind byte) {
		forward := Forward{Name: name, Comment: comment, Frontend: Frontend{Protocol: TCP, Ports: PortRange{port, port}}}
		forward.Backends = []Backend{{Ports: PortRange{30080, 30080}, Weight: 1}}
		if kind&1 != 0 {
			forward.Frontend.Protocol = UDP
		}
		if kind&2 != 0 {
			forward.Frontend.Devices = []string{device}
		}
		if kind&4 != 0 {
			forward.Frontend.Address = netip.MustParseAddr("192.0.2.7")
		}
		if kind&8 != 0 {
			forward.Source = SourcePreserve
		}
		if kind&32 != 0 {
			forward.Source, forward.Balance, forward.Affinity = SourceMasquerade, BalanceRandom, time.Duration(port)*time.Second
			forward.ExpiresAt = time.Unix(int64(port)<<20, 0)
			forward.Backends = nil
		}
		if kind&64 != 0 {
			for last := byte(1); last < 1+kind>>4; last++ {
				b := Backend{Address: netip.AddrFrom4([4]byte{10, 0, 0, last}), Ports: PortRange{port, port}, Weight: port % (maxWeight + 1)}
				if kind&128 != 0 {
					b.State = BackendDraining
				}
				forward.Backends = append(forward.Backends, b)
			}
		}
		if c, err := ParseCheck("http,path=/" + comment); err == nil {
			forward.Check = c
		}
		if port == 0 || forward.Validate() != nil {
			t.Skip()
		}
		file := File{Forwards: []Forward{forward}}
		if kind&16 != 0 {
			file.Forwards = []Forward{forward.as(TCP), forward.as(UDP)}
		}
		if checkDevice(device) == nil {
			file.XDP = XDPModes{device: XDPChoices()[kind%4]}
		}
		checkRoundTrip(t, file)
	})
}
