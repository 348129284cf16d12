// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSpec(t *testing.T) {
	spec := Spec{
		Name: "web", Frontend: "192.0.2.1:443/tcp+udp", Backends: []string{"10.0.0.5:8443"},
		Devices: []string{"eth1", "eth0", "eth1"}, Source: "preserve", Check: "udp", Comment: "für alle",
	}
	got, err := spec.Forwards(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := "192.0.2.1:443/tcp on eth0,eth1 -> 10.0.0.5:8443 web\n192.0.2.1:443/udp on eth0,eth1 -> 10.0.0.5:8443 web\n"
	if lines(got) != want {
		t.Errorf("got\n%swant\n%s", lines(got), want)
	}
	for _, f := range got {
		if f.Source != SourcePreserve || f.Balance != BalanceMaglev || f.Check != check(t, "udp") || f.Comment != "für alle" {
			t.Errorf("got %#v", f)
		}
	}
}

func TestSpecRefuses(t *testing.T) {
	for _, test := range []struct {
		spec Spec
		why  string
	}{
		{Spec{Frontend: "80-79"}, `frontend "80-79": the range runs backwards; write 79-80`},
		{Spec{Backends: []string{"0"}}, `backend "0": there is no port 0; ports are 1 to 65535`},
		{Spec{Frontend: "9000-9005", Backends: []string{"30000-30002"}}, "9000-9005/tcp has 6 ports and backend 30000-30002 has 3; give as many, or one port for all"},
		{Spec{Backends: []string{"30000-30002"}}, "80/tcp has one port and backend 30000-30002 has 3; give as many, or one port for all"},
		{Spec{Frontend: "192.0.2.7:80", Backends: []string{"[2001:db8::9]:80"}}, "192.0.2.7:80/tcp is IPv4 and backend [2001:db8::9]:80 is IPv6, and xfwd does not translate between them; give both in one family"},
		{Spec{Frontend: "[2001:db8::7]:80", Backends: []string{"192.0.2.9:80"}}, "[2001:db8::7]:80/tcp is IPv6 and backend 192.0.2.9:80 is IPv4, and xfwd does not translate between them; give both in one family"},
		{Spec{Backends: []string{"127.0.0.1:30080"}}, "backend 127.0.0.1:30080 is a loopback address, which the kernel refuses to packets from outside; write 30080, and let the program listen on every address"},
		{Spec{Backends: manyBackends(4097)}, "80/tcp has 4097 backends; give at most 4096"},
		{Spec{Backends: []string{"10.0.0.5:1", "2"}, Source: "masquerade"}, "backend 2 is this host itself, whose answers need no masquerade to come back; give it an address or choose source auto"},
		{Spec{Backends: []string{"1", "1,weight=2"}}, "backend 1,weight=2 is given twice; give it once, with a weight"},
		{Spec{Name: "80"}, `name "80" could be taken for a port or an address; give it a letter`},
		{Spec{Name: "192.0.2.7"}, `name "192.0.2.7" could be taken for a port or an address; give it a letter`},
		{Spec{Name: "80/tcp"}, `name "80/tcp" has a character that names do not have; use 1 to 63 letters, digits, '-', '_' and '.'`},
		{Spec{Name: "a b"}, `name "a b" has a character that names do not have; use 1 to 63 letters, digits, '-', '_' and '.'`},
		{Spec{Name: "Grüße"}, `name "Grüße" has a character that names do not have; use 1 to 63 letters, digits, '-', '_' and '.'`},
		{Spec{Name: "-a"}, `name "-a" must begin with a letter or a digit`},
		{Spec{Name: strings.Repeat("a", 64)}, `name "` + strings.Repeat("a", 64) + `" is longer than 63 characters; use 1 to 63 letters, digits, '-', '_' and '.'`},
		{Spec{Devices: []string{"eth0", "interface-of-sixteen+"}}, `device "interface-of-sixteen" is longer than 15 bytes; give a name that ` + "`ip link`" + ` shows`},
		{Spec{Devices: []string{""}}, "a device has no name; give a name that `ip link` shows"},
		{Spec{Devices: []string{"eth/0"}}, "device \"eth/0\" has a character that no device has; give a name that `ip link` shows"},
		{Spec{Devices: []string{"eth 0"}}, "device \"eth 0\" has a character that no device has; give a name that `ip link` shows"},
		{Spec{Devices: []string{".."}}, "device \"..\" cannot exist; give a name that `ip link` shows"},
		{Spec{Source: "nat"}, `source "nat" is unknown; choose auto, preserve or masquerade`},
		{Spec{Balance: "roundrobin"}, `balance "roundrobin" is unknown; choose maglev, round-robin, random, least-connections or source-hash`},
		{sourced("preserve", "192.0.2.1"), "with source preserve, no source address of 80/tcp is used; leave them out, or choose source masquerade"},
		{sourced("auto", "192.0.2.1", "192.0.2.1"), "source address 192.0.2.1 is given twice; give it once"},
		{sourced("auto", "2001:db8::1"), "source address 2001:db8::1 is IPv6, and no backend has an address of that family; leave it out"},
		{sourced("auto", "127.0.0.1"), "127.0.0.1 is no address that another machine could answer to; give one that reaches this host from there"},
		{sourced("auto", "fe80::1"), "fe80::1 is no address that another machine could answer to; give one that reaches this host from there"},
		{sourced("auto", "eth0"), `"eth0" is not an IP address; write one like 192.0.2.7 or [2001:db8::7]`},
		{sourced("auto", strings.Fields("192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9 "+
			"192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15 192.0.2.16 192.0.2.17")...), "80/tcp has 17 source addresses; give at most 16"},
		{Spec{SourceAddresses: []string{"192.0.2.1"}}, "source address 192.0.2.1 is IPv4, and no backend has an address of that family; leave it out"},
		{Spec{AffinityGroup: "web"}, `the affinity group "web" shares an affinity, and 80/tcp has none; give one, such as --affinity 3h`},
		{Spec{Affinity: "3"}, `affinity "3" is not a duration; write one like 3h, 10m or 90s`},
		{Spec{Affinity: "-3h"}, `affinity "-3h" is not a duration; write one like 3h, 10m or 90s`},
		{Spec{Affinity: "1500ms"}, "affinity 1.5s is not in whole seconds up to a year; write one like 3h"},
		{Spec{Affinity: "8761h"}, "affinity 8761h0m0s is not in whole seconds up to a year; write one like 3h"},
		{Spec{MSS: "535"}, `mss "535" is unknown; choose auto, off or a number of bytes from 536 to 65495`},
		{Spec{MSS: "65496"}, `mss "65496" is unknown; choose auto, off or a number of bytes from 536 to 65495`},
		{Spec{MSS: "none"}, `mss "none" is unknown; choose auto, off or a number of bytes from 536 to 65495`},
		{Spec{Own: "sometimes"}, `own "sometimes" is unknown; choose auto, always or never`},
		{Spec{Frontend: "127.0.0.1:80", Own: "never"}, "127.0.0.1:80/tcp has only this host's own connections, and own never leaves these alone; choose own auto"},
		{Spec{Devices: []string{"lo"}, Own: "never"}, "80/tcp on lo has only this host's own connections, and own never leaves these alone; choose own auto"},
		{Spec{Check: "ping"}, `check "ping": begin with a kind: tcp, http or udp`},
		{Spec{Expires: "tomorrow"}, `expires "tomorrow" is not a duration; write one like 3h, 10m or 90s`},
		{Spec{ExpiresAt: "tomorrow"}, `expiresAt "tomorrow" is not a moment; write one like 2030-12-31T23:59:00Z`},
		{Spec{Expires: "0s"}, `expires "0s" is not a duration; write one like 3h, 10m or 90s`},
		{Spec{ExpiresAt: "0001-01-01T00:00:00Z"}, `expiresAt "0001-01-01T00:00:00Z" is not a moment; write one like 2030-12-31T23:59:00Z`},
		{Spec{ExpiresAt: "9999-12-31T23:59:59-01:00"}, `expiresAt "9999-12-31T23:59:59-01:00" is not a moment; write one like 2030-12-31T23:59:00Z`},
		{Spec{Allow: []string{"10.0.0.0"}}, `allow "10.0.0.0" is not a prefix; write one like 192.0.2.0/24`},
		{Spec{Deny: []string{"10.0.0.1/8"}}, "deny 10.0.0.1/8 has bits behind its length; write 10.0.0.0/8"},
		{Spec{Comment: "a\nb"}, `the comment "a\nb" has a control character; write it in one line of plain text`},
		{Spec{Comment: "\x1b[2J"}, `the comment "\x1b[2J" has a control character; write it in one line of plain text`},
		{Spec{Comment: "\xff"}, "the comment is not valid UTF-8; write it in UTF-8"},
		{Spec{Comment: strings.Repeat("ä", 129)}, "the comment is 258 bytes long; shorten it to 256"},
		{Spec{Devices: strings.Fields("a b c d e f g h i")}, "80/tcp has 9 devices; give at most 8"},

		// What the contract has and this version has not.
		{Spec{Allow: []string{"10.0.0.0/8"}}, "allow is not in this version of xfwd; leave it out and filter with nftables at the backend's port"},
		{Spec{Deny: []string{"10.0.0.0/8"}}, "deny is not in this version of xfwd; leave it out and filter with nftables at the backend's port"},
	} {
		t.Run(test.why, func(t *testing.T) {
			spec := test.spec
			if spec.Frontend == "" {
				spec.Frontend = "80"
				if spec.Backends == nil {
					spec.Backends = []string{"30080"}
				}
			}
			_, err := spec.Forwards(time.Unix(0, 0))
			checkError(t, err, ErrSyntax, test.why)
		})
	}
}

// sourced is a forward to another machine with these source addresses.
func sourced(source string, addresses ...string) Spec {
	return Spec{Frontend: "80", Backends: []string{"10.0.0.1:80"}, Source: source, SourceAddresses: addresses}
}

// The order in which source addresses are given means nothing.
func TestSourceAddressesInAnyOrder(t *testing.T) {
	var all [2]Forward
	for i, words := range []string{"192.0.2.2 192.0.2.10 192.0.2.1", "192.0.2.1 192.0.2.2 192.0.2.10"} {
		fs, err := sourced("", strings.Fields(words)...).Forwards(time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = fs[0]
	}
	if !all[0].Equal(all[1]) || !all[0].identical(all[1]) {
		t.Errorf("%v and %v differ", all[0].SourceAddresses, all[1].SourceAddresses)
	}
	none, err := sourced("").Forwards(time.Unix(0, 0))
	if err != nil || none[0].Equal(all[0]) || none[0].identical(all[0]) || !none[0].differsOnlyIn(all[0], keySourceAddresses) {
		t.Errorf("without source addresses it is the same: %v", err)
	}
}

// A forward ends with a second of UTC, and not before its time.
func TestSpecExpires(t *testing.T) {
	now := time.Date(2030, 12, 31, 23, 58, 0, 1, time.FixedZone("", 3600))
	for _, test := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "0001-01-01T00:00:00Z"},
		{Spec{Expires: "1h"}, "2030-12-31T23:58:01Z"},
		{Spec{Expires: "999999999ns"}, "2030-12-31T22:58:01Z"},
		{Spec{Expires: "1s"}, "2030-12-31T22:58:02Z"},
		{Spec{ExpiresAt: "2031-01-01T00:59:00.9+02:00"}, "2030-12-31T22:59:00Z"},
		{Spec{ExpiresAt: "1999-12-31T23:59:00Z"}, "1999-12-31T23:59:00Z"},
	} {
		test.spec.Frontend = "80"
		forwards, err := test.spec.Forwards(now)
		if err != nil {
			t.Fatal(err)
		}
		if got := forwards[0].ExpiresAt.Format(time.RFC3339Nano); got != test.want {
			t.Errorf("%+v ends at %s, want %s", test.spec, got, test.want)
		}
	}
}

// manyBackends returns words for that many backends.
func manyBackends(n int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("10.0.%d.%d:80", i>>8, i&0xff)
	}
	return words
}

func TestSpecOfManyBackends(t *testing.T) {
	spec := Spec{
		Frontend: "80", Backends: append(manyBackends(4094), "[2001:db8::9]:80,weight=1000", "30080,weight=0"),
		Balance: "least-connections", Affinity: "3h",
	}
	forwards, err := spec.Forwards(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	f := forwards[0]
	if len(f.Backends) != 4096 || f.Backends[4094].Weight != 1000 || f.Backends[4095].State != BackendDraining {
		t.Errorf("got %d backends, the last %+v", len(f.Backends), f.Backends[4094:])
	}
	if f.Balance != BalanceLeastConnections || f.Affinity != 3*time.Hour {
		t.Errorf("balance %s, affinity %s", f.Balance, f.Affinity)
	}
}

// A forward without backends refuses its clients.
func TestSpecOfNoBackends(t *testing.T) {
	forwards, err := Spec{Frontend: "80"}.Forwards(time.Unix(0, 0))
	if err != nil || lines(forwards) != "80/tcp -> no backend\n" {
		t.Errorf("got %s, %v", lines(forwards), err)
	}
}

func TestBackendsLabel(t *testing.T) {
	for _, test := range []struct {
		backends []string
		want     string
	}{
		{nil, "no backend"},
		{[]string{"30080"}, "this host:30080"},
		{[]string{"10.0.1.100:8443", "10.0.1.101:80,weight=3"}, "10.0.1.100:8443, 10.0.1.101:80,weight=3"},
		{[]string{"10.0.1.100:8443", "10.0.1.101:8443", "1"}, "10.0.1.100:8443 and 2 more"},
		{[]string{"10.0.0.1:80", "10.0.0.2:80", "1", "2", "3"}, "10.0.0.1:80, 10.0.0.2:80 and 3 more"},
		{[]string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80,state=active"}, "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80"},
		{[]string{"[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:80", "1", "2"}, "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:80 and 2 more"},
	} {
		forwards, err := Spec{Frontend: "80", Backends: test.backends}.Forwards(time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if got := forwards[0].BackendsLabel(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// A frontend that only this host's own connections reach may have a backend
// that only they reach.
func TestLoopbackBackend(t *testing.T) {
	forwards(t, "127.0.0.1:80 127.0.0.1:30080", "[::1]:80 [::1]:30080", "80 127.0.0.1:30080 - lo")
}

func TestEqual(t *testing.T) {
	a := Forward{Frontend: Frontend{Devices: []string{"b", "a"}}, Backends: []Backend{{Weight: 1}, {Weight: 2}}}
	b := Forward{
		Frontend: Frontend{Devices: []string{"a", "b", "a"}},
		Backends: []Backend{{Weight: 2, State: BackendActive}, {Weight: 1}},
		Source:   SourceAuto, Balance: BalanceMaglev,
	}
	if !a.Equal(b) || !b.Equal(a) {
		t.Errorf("two spellings differ in %v", a.differences(b))
	}
	for _, change := range []func(*Forward){
		func(f *Forward) { f.Name = "x" },
		func(f *Forward) { f.Frontend.Devices = nil },
		func(f *Forward) { f.Frontend.Protocol = UDP },
		func(f *Forward) { f.Backends = f.Backends[:1] },
		func(f *Forward) { f.Backends[1].State = BackendDraining },
		func(f *Forward) { f.Source = SourcePreserve },
		func(f *Forward) { f.Balance = BalanceRandom },
		func(f *Forward) { f.Affinity = time.Second },
		func(f *Forward) { f.AffinityGroup = "web" },
		func(f *Forward) { f.Check = Check{Kind: CheckTCP} },
		func(f *Forward) { f.MSS = 1340 },
		func(f *Forward) { f.Comment = "x" },
		func(f *Forward) { f.ExpiresAt = time.Unix(1, 0) },
	} {
		c := b.Canonical()
		change(&c)
		if c.Equal(b) || len(c.differences(b)) != 1 {
			t.Errorf("%#v differs from %#v in %v", c, b, c.differences(b))
		}
	}
}
