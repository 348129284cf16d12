// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseFile(t *testing.T) {
	for _, test := range []struct{ name, file, want string }{
		{"none", "apiVersion: xfwd/v1\nforwards: []\n", ""},
		{"integers", "apiVersion: xfwd/v1\nforwards:\n  - frontend: 80\n    backends: [30080]\n", "80/tcp -> this host:30080\n"},
		{"text", "apiVersion: xfwd/v1\nforwards:\n  - frontend: '80'\n    backends:\n      - \"30080\"\n", "80/tcp -> this host:30080\n"},
		{"not indented", "apiVersion: xfwd/v1\nforwards:\n- frontend: 53/udp\n  backends: [5353]\n", "53/udp -> this host:5353\n"},
		{"everything", `# the web
apiVersion: "xfwd/v1"
forwards:
  - name: web
    frontend: 192.0.2.1:443/tcp+udp   # both
    devices: [eth0, eth1]
    backends: ["10.0.1.100:8443"]
    source: preserve
    balance: maglev
    comment: "a: b # c"
`, "192.0.2.1:443/tcp on eth0,eth1 -> 10.0.1.100:8443 web\n192.0.2.1:443/udp on eth0,eth1 -> 10.0.1.100:8443 web\n"},
		{"spread", "apiVersion: xfwd/v1\nforwards:\n- {frontend: 80, backends: ['10.0.0.5:80,weight=3', '10.0.0.6:80,state=draining'], source: masquerade, balance: random, affinity: 3h}\n", "80/tcp -> 10.0.0.5:80,weight=3 and 1 more\n"},
		{"no backends", "apiVersion: xfwd/v1\nforwards:\n- {frontend: 80, backends: []}\n", "80/tcp -> no backend\n"},
		{"one name for one port", "apiVersion: xfwd/v1\nforwards:\n- {frontend: 53, backends: [1], name: dns}\n- {frontend: 53/udp, backends: [2], name: dns}\n", "53/tcp -> this host:1 dns\n53/udp -> this host:2 dns\n"},
		{"carriage returns", "apiVersion: xfwd/v1\r\nforwards:\r\n  - frontend: 80\r\n    backends: [30080]\r\n", "80/tcp -> this host:30080\n"},
		{"marks of a document", "---\napiVersion: xfwd/v1\nforwards: []\n---\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := ParseFile("f.yaml", []byte(test.file), time.Unix(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(file.Forwards); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestParseFileRefuses(t *testing.T) {
	// The forwards of most cases begin in line 3.
	const head = "apiVersion: xfwd/v1\nforwards:\n"
	const aForward = "  - frontend: 80\n    backends: [30080]\n"
	for _, test := range []struct{ name, file, why string }{
		{"empty", "", "1: the file is empty; begin it with apiVersion: xfwd/v1"},
		{"comment", "# nothing\n", "1: the file is empty; begin it with apiVersion: xfwd/v1"},
		{"not YAML", "80 -> 30080", "1: this is no file of xfwd; begin it with apiVersion: xfwd/v1"},
		{"list", "- frontend: 80\n", "1: this is no file of xfwd; begin it with apiVersion: xfwd/v1"},
		{"no version", "forwards: []\n", "1: apiVersion is missing; begin the file with apiVersion: xfwd/v1"},
		{"other version", "apiVersion: xfwd/v2\nforwards: []\n", `1: apiVersion "xfwd/v2" is unknown; this xfwd reads xfwd/v1`},
		{"version of a wrong type", "apiVersion: [1]\nforwards: []\n", "1: apiVersion is one word here, not a list or keys; write it as text"},
		{"no forwards", "apiVersion: xfwd/v1\n", "1: forwards is missing; write forwards: [] for none"},
		{"null forwards", "apiVersion: xfwd/v1\nforwards:\n", "2: forwards has no value; give one or remove the key"},
		{"forwards no list", "apiVersion: xfwd/v1\nforwards: 80\n", "2: forwards is a list; write [a] or lines that begin with a dash"},
		{"second document", "apiVersion: xfwd/v1\nforwards: []\n---\napiVersion: xfwd/v1\n", "4: a second document begins; put everything into the first"},
		{"unknown key on top", "apiVersion: xfwd/v1\nkind: x\n", `2: key "kind" is unknown; here can be apiVersion, xdp or forwards`},
		{"unknown key", head + "  - frontend: 80\n    backend: 30080\n", `4: key "backend" is unknown; here can be name, frontend, addresses, devices, backends, source, sourceAddresses, balance, affinity, affinityGroup, own, check, mss, allow, deny, comment or expiresAt`},
		{"key no word", head + "  - 80: 30080\n", `3: key "80" is unknown; here can be name, frontend, addresses, devices, backends, source, sourceAddresses, balance, affinity, affinityGroup, own, check, mss, allow, deny, comment or expiresAt`},
		{"duplicate key", head + aForward + "    frontend: 81\n", "5: frontend is given twice; remove one"},
		{"merge key", head + "  - <<: {frontend: 80}\n    backends: [1]\n", `3: key "<<" is unknown; here can be name, frontend, addresses, devices, backends, source, sourceAddresses, balance, affinity, affinityGroup, own, check, mss, allow, deny, comment or expiresAt`},
		{"forward no mapping", head + "  - 80\n", "3: a forward is written in keys; begin it with frontend: 80"},
		{"null forward", head + "  -\n", "3: a forward is written in keys; begin it with frontend: 80"},
		{"no frontend", head + "  - backends: [30080]\n", "3: the forward has no frontend; add one"},
		{"no backends", head + "  - frontend: 80\n", "3: the forward has no backends; add one"},
		{"backends no list", head + "  - frontend: 80\n    backends: 30080\n", "4: backends is a list; write [a] or lines that begin with a dash"},
		{"bad frontend", head + aForward + "  - frontend: 80-79\n    backends: [1]\n", `5: frontend "80-79": the range runs backwards; write 79-80`},
		{"frontend in hexadecimal", head + "  - frontend: 0x50\n    backends: [1]\n", `3: frontend "0x50": port "0x50" is not a number; write 1 to 65535`},
		{"frontend no text", head + "  - frontend: 80.5\n    backends: [1]\n", "3: frontend is not text; put it in quotes"},
		{"frontend true", head + "  - frontend: true\n    backends: [1]\n", "3: frontend is not text; put it in quotes"},
		{"frontend list", head + "  - frontend: [80]\n    backends: [1]\n", "3: frontend is one word here, not a list or keys; write it as text"},
		{"bad backend", head + "  - frontend: 80\n    backends:\n      - 65536\n", `5: backend "65536": there is no port 65536; ports are 1 to 65535`},
		{"bad name", head + aForward + "    name: 80\n", `5: name "80" could be taken for a port or an address; give it a letter`},
		{"bad device", head + aForward + "    devices:\n      - eth0\n      - eth/1\n", "7: device \"eth/1\" has a character that no device has; give a name that `ip link` shows"},
		{"bad source", head + aForward + "    source: nat\n", `5: source "nat" is unknown; choose auto, preserve or masquerade`},
		{"bad duration", head + aForward + "    affinity: 3\n", `5: affinity "3" is not a duration; write one like 3h, 10m or 90s`},
		{"bad check", head + aForward + "    check: ping\n", `5: check "ping": begin with a kind: tcp, http or udp`},
		{"check no text", head + aForward + "    check: {kind: tcp}\n", "5: check is one word here, not a list or keys; write it as text"},
		{"comment of two lines", head + aForward + "    comment: |\n      a\n      b\n", "5: comment is not text; put it in quotes"},
		{"duplicate frontend", head + aForward + aForward, "5: frontend 80/tcp is given twice, first for the forward in line 3; remove one"},
		{"duplicate among two", head + "  - frontend: 80/udp\n    backends: [1]\n  - frontend: 80/tcp+udp\n    backends: [1]\n", "5: frontend 80/udp is given twice, first for the forward in line 3; remove one"},
		{"overlap", head + "  - frontend: 80-90\n    backends: [1]\n  - backends: [1]\n    frontend: 85-99\n", "6: frontend 85-99/tcp overlaps 80-90/tcp of the forward in line 3; give each port to one"},
		{"duplicate name", head + aForward + "    name: web\n  - frontend: 81\n    backends: [1]\n    name: web\n", `8: name "web" is given twice, first to the forward in line 3; choose another`},
		{"anchor", head + "  - frontend: &x 80\n    backends: [1]\n", "3: frontend has an anchor, an alias or a tag, which xfwd does not read; write the value out"},
		{"alias of a list", head + "  - frontend: 80\n    backends: *x\n", "4: backends is a list; write [a] or lines that begin with a dash"},
		{"IPv6 without quotes", head + "  - frontend: [2001:db8::7]:80\n    backends: [1]\n", "3: this is not YAML: value is not allowed in this context; put words with brackets, braces or colons in quotes"},
		{"tab", head + "\t- frontend: 80\n", `3: this is not YAML: found character '\t' that cannot start any token; put words with brackets, braces or colons in quotes`},
		{"open quote", head + "  - frontend: '80\n", "3: this is not YAML: could not find end character of single-quoted text; put words with brackets, braces or colons in quotes"},

		{"a mode of XDP that is none", "apiVersion: xfwd/v1\nxdp:\n  - native\n  - eth0=fast\nforwards: []\n", `4: XDP mode "fast" is unknown; choose auto, native, generic or off`},
		{"modes of XDP as keys", "apiVersion: xfwd/v1\nxdp: {eth0: native}\nforwards: []\n", "2: xdp is a list; write [a] or lines that begin with a dash"},
		{"prefixes", head + aForward + "    allow: [10.0.0.0/8]\n", "5: allow is not in this version of xfwd; leave it out and filter with nftables at the backend's port"},
		{"no addresses", head + aForward + "    addresses: []\n", "5: addresses is empty; give at least one, or remove the key for every address of this host"},
		{"an address twice", head + aForward + "    addresses:\n      - 192.0.2.1\n      - 192.0.2.1\n", "7: address 192.0.2.1 is given twice; give it once"},
		{"addresses beside another", head + "  - frontend: 192.0.2.1:80\n    backends: [1]\n    addresses: [192.0.2.2]\n", `5: frontend "192.0.2.1:80" has an address already; give all of them in addresses`},
		{"an address that is none", head + aForward + "    addresses: [192.0.2.0/24]\n", `5: "192.0.2.0/24" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{"a name at an address and at all", head + "  - {name: web, frontend: 80, backends: [1]}\n  - {name: web, frontend: 80, addresses: [192.0.2.1], backends: [1]}\n", `4: name "web" is given twice, first to the forward in line 3; choose another`},
		{"an expiry that is no moment", head + aForward + "    expiresAt: tomorrow\n", `5: expiresAt "tomorrow" is not a moment; write one like 2030-12-31T23:59:00Z`},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := ParseFile("f.yaml", []byte(test.file), time.Unix(0, 0))
			checkError(t, err, ErrSyntax, "f.yaml:"+test.why)
			if file.Forwards != nil || file.XDP != nil {
				t.Errorf("got %v", file)
			}
		})
	}
}

// What has expired is as if it were not there, whatever has its frontend, and is told.
func TestParseFileOfExpired(t *testing.T) {
	const file = `apiVersion: xfwd/v1
forwards:
  - {frontend: 53/tcp+udp, backends: [1], name: dns, expiresAt: "2030-12-31T23:59:00Z"}
  - {frontend: 80, backends: [1], expiresAt: 2030-12-31T23:59:01Z}
  - {frontend: 53, backends: [2], expiresAt: 2030-12-31T23:58:59Z}
  - {frontend: 53/udp, backends: [3], name: dns}
`
	got, err := ParseFile("f.yaml", []byte(file), time.Date(2030, 12, 31, 23, 59, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if want := "80/tcp -> this host:1\n53/udp -> this host:3 dns\n"; lines(got.Forwards) != want {
		t.Errorf("got\n%swant\n%s", lines(got.Forwards), want)
	}
	want := []string{
		"f.yaml:3: 53/tcp -> this host:1 has expired", "f.yaml:3: 53/udp -> this host:1 has expired",
		"f.yaml:5: 53/tcp -> this host:2 has expired",
	}
	if !slices.Equal(got.Notes, want) {
		t.Errorf("got %q, want %q", got.Notes, want)
	}
}

func TestFormatFile(t *testing.T) {
	all := forwards(t,
		"[2001:db8::7]:80 [2001:db8::9]:80", "443/udp 2 tls", "443 1 tls", "53/udp 5353", "80 30080 web",
		"192.0.2.1:8443/tcp+udp 10.0.0.5:443 true eth0 0", "9000-9005 30000-30005")
	all[4].Source = SourcePreserve
	all[4].Comment = `say "hi": #1`
	all[4].Check = check(t, "http,path=/a\"b\\")
	all[3].Check = check(t, "tcp")
	all[2].MSS, all[3].MSS = MSSOff, 1340
	all[7].ExpiresAt = time.Date(2030, 12, 31, 23, 59, 0, 0, time.UTC)
	const want = `apiVersion: xfwd/v1
forwards:
  - frontend: "53/udp"
    backends: [5353]
    check: tcp
    mss: 1340
  - name: web
    frontend: 80
    backends: [30080]
    source: preserve
    check: "http,path=/a\"b\\"
    comment: "say \"hi\": #1"
  - name: tls
    frontend: 443
    backends: [1]
    mss: "off"
  - name: tls
    frontend: "443/udp"
    backends: [2]
  - frontend: "9000-9005"
    backends: ["30000-30005"]
    expiresAt: "2030-12-31T23:59:00Z"
  - name: "true"
    frontend: "192.0.2.1:8443/tcp+udp"
    devices: ["0", eth0]
    backends: ["10.0.0.5:443"]
  - frontend: "[2001:db8::7]:80"
    backends: ["[2001:db8::9]:80"]
`
	if got := string(File{Forwards: all}.Format()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	checkRoundTrip(t, File{Forwards: all})
	if got, want := string(File{}.Format()), "apiVersion: xfwd/v1\nforwards: []\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// One entry may have several addresses, whose forwards share a name, and is written as
// one again.
func TestFileOfAddresses(t *testing.T) {
	const file = `apiVersion: xfwd/v1
forwards:
  - name: web
    frontend: "80/tcp+udp"
    addresses: ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    backends: [30080]
  - name: web
    frontend: "192.0.2.3:80"
    backends: [30081]
`
	got, err := ParseFile("f.yaml", []byte(file), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	const want = `192.0.2.1:80/tcp -> this host:30080 web
192.0.2.1:80/udp -> this host:30080 web
192.0.2.2:80/tcp -> this host:30080 web
192.0.2.2:80/udp -> this host:30080 web
[2001:db8::1]:80/tcp -> this host:30080 web
[2001:db8::1]:80/udp -> this host:30080 web
192.0.2.3:80/tcp -> this host:30081 web
`
	if lines(got.Forwards) != want {
		t.Errorf("got\n%swant\n%s", lines(got.Forwards), want)
	}
	if again := string(got.Format()); again != file {
		t.Errorf("got\n%swant\n%s", again, file)
	}
	checkRoundTrip(t, got)
	// Without a name there is nothing that says that they belong together.
	one := File{Forwards: forwards(t, "192.0.2.1:80 1", "192.0.2.2:80 1")}
	if text := string(one.Format()); strings.Contains(text, "addresses") {
		t.Errorf("got\n%s", text)
	}
	// All is deleted by the name, and added again.
	left, err := Delete([]string{"web"}, false)(got.Forwards)
	if err != nil || len(left) != 0 {
		t.Errorf("deleting web leaves %v (%v)", left, err)
	}
	if _, err := Add(got.Forwards, false)(got.Forwards); err != nil {
		t.Error(err)
	}
}

func TestFormatFileWritesEveryKey(t *testing.T) {
	f := forwards(t, "80 10.0.0.5:80")[0]
	for _, word := range []string{"10.0.0.6:81,weight=2", "10.0.0.7:80,state=draining,weight=3", "10.0.0.8:80,weight=0"} {
		b, err := ParseBackend(word)
		if err != nil {
			t.Fatal(err)
		}
		f.Backends = append(f.Backends, b)
	}
	f.Source, f.Balance = SourceMasquerade, BalanceSourceHash
	f.SourceAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	f.Affinity = 3 * time.Hour
	f.AffinityGroup = "shop"
	f.Own = OwnNever
	none := forwards(t, "81 1")[0]
	none.Backends = nil
	modes := XDPModes{"": "off", "eth0": "native", "wlan=0": "generic"}
	checkRoundTrip(t, File{Forwards: []Forward{f, none}, XDP: modes})

	// What this version refuses to read is written all the same, for the day when
	// it does not.
	f.ExpiresAt = time.Date(2030, 12, 31, 23, 59, 0, 0, time.FixedZone("", 3600))
	const want = `apiVersion: xfwd/v1
xdp: ["off", "eth0=native", "wlan=0=generic"]
forwards:
  - frontend: 80
    backends:
      - "10.0.0.5:80"
      - "10.0.0.6:81,weight=2"
      - "10.0.0.7:80,weight=3,state=draining"
      - "10.0.0.8:80,weight=0"
    source: masquerade
    sourceAddresses: ["192.0.2.1", "192.0.2.2"]
    balance: source-hash
    affinity: 3h
    affinityGroup: shop
    own: never
    expiresAt: "2030-12-31T22:59:00Z"
  - frontend: 81
    backends: []
`
	if got := string(File{Forwards: []Forward{f, none}, XDP: modes}.Format()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 10 * time.Minute: "10m", time.Hour: "1h",
		3*time.Hour + 4*time.Minute: "3h4m", time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if again, err := time.ParseDuration(FormatDuration(d)); err != nil || again != d {
			t.Errorf("%s reads as %s, %v", want, again, err)
		}
	}
}

func BenchmarkFile(b *testing.B) {
	var file strings.Builder
	file.WriteString("apiVersion: xfwd/v1\nforwards:\n")
	for port := 1; port <= 10000; port++ {
		fmt.Fprintf(&file, "  - name: f%d\n    frontend: %d\n    backends: [%d]\n", port, port, port)
	}
	for b.Loop() {
		if _, err := ParseFile("f.yaml", []byte(file.String()), time.Unix(0, 0)); err != nil {
			b.Fatal(err)
		}
	}
}
