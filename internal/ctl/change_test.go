// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestChange(t *testing.T) {
	have := []string{"53/udp 5353 dns", "80 30080 web", "443/tcp+udp 30443 tls", "9000-9005 30000-30005", "192.0.2.7:80 30081", "8080 1 - eth0"}
	add := func(line string) Change { return Add(forwards(t, line), false) }
	replace := func(line string) Change { return Add(forwards(t, line), true) }
	for _, test := range []struct {
		name   string
		change Change
		// want is the difference: lines with -, + and, for other backends or terms, ~.
		want string
		err  string
		kind error
	}{
		{name: "add", change: add("81 30081"), want: "+81/tcp -> this host:30081\n"},
		{name: "add both protocols", change: add("81/tcp+udp 30081 x"), want: "+81/tcp -> this host:30081 x\n+81/udp -> this host:30081 x\n"},
		{name: "add what is there", change: add("80 30080 web")},
		{name: "add half of what is there", change: add("53/tcp+udp 5353 dns"), want: "+53/tcp -> this host:5353 dns\n"},
		{name: "add a port inside a range", change: add("9001 1"), want: "+9001/tcp -> this host:1\n"},
		{name: "add a device beside none", change: add("80 1 - eth0"), want: "+80/tcp on eth0 -> this host:1\n"},
		{name: "frontend taken", change: add("80 30081"), kind: ErrConflict, err: `80/tcp is taken, it goes to this host:30080 ("web"); --replace takes it`},
		{name: "frontend taken by nameless", change: add("192.0.2.7:80 1"), kind: ErrConflict, err: "192.0.2.7:80/tcp is taken, it goes to this host:30081; --replace takes it"},
		{name: "frontend there under another name", change: add("80 30080 site"), kind: ErrConflict, err: "80/tcp -> this host:30080 is there already, with another name; --replace changes that"},
		{name: "range overlaps", change: add("9005-9010 1"), kind: ErrConflict, err: "9005-9010/tcp overlaps 9000-9005/tcp, which goes to this host:30000-30005; --replace removes that forward"},
		{name: "devices overlap", change: add("8080 1 - eth0 eth1"), kind: ErrConflict, err: "8080/tcp on eth0,eth1 overlaps 8080/tcp on eth0, which goes to this host:1; --replace removes that forward"},
		{name: "name taken", change: add("81 30081 web"), kind: ErrConflict, err: `the name "web" belongs to 80/tcp -> this host:30080; choose another, or take it with --replace`},
		{name: "replace the backend", change: replace("80 30081 web"), want: "~80/tcp -> this host:30081 web\n"},
		{name: "replace the name too", change: replace("80 30081"), want: "-80/tcp -> this host:30080 web\n+80/tcp -> this host:30081\n"},
		{name: "replace what overlaps", change: replace("9005-9010 1"), want: "-9000-9005/tcp -> this host:30000-30005\n+9005-9010/tcp -> this host:1\n"},
		{name: "replace the owner of a name", change: replace("81 1 tls"), want: "-443/tcp -> this host:30443 tls\n-443/udp -> this host:30443 tls\n+81/tcp -> this host:1 tls\n"},
		{name: "replace by the same", change: replace("80 30080 web")},
		{name: "add against itself", change: Add(forwards(t, "80 1", "80 2"), true), kind: ErrConflict, err: "80/tcp -> this host:1 and 80/tcp -> this host:2 cannot both be; give one of them"},

		{name: "add with a check", change: Add(checked(t, "80 30080 web", "tcp"), false), want: "~80/tcp -> this host:30080 web\n"},
		{name: "add with another check", change: Add(checked(t, "22 30022", "udp"), false), want: "~22/tcp -> this host:30022\n"},
		{name: "add without the check", change: add("22 30022"), want: "~22/tcp -> this host:30022\n"},
		{name: "add with the check that is there", change: Add(checked(t, "22 30022", "tcp"), false)},
		{name: "add with a check and another backend", change: Add(checked(t, "80 30081 web", "tcp"), false), kind: ErrConflict, err: `80/tcp is taken, it goes to this host:30080 ("web"); --replace takes it`},
		{name: "add with a check and another name", change: Add(checked(t, "80 30080 site", "tcp"), false), kind: ErrConflict, err: "80/tcp -> this host:30080 is there already, with another name and check; --replace changes that"},
		{name: "replace the backend and the check", change: Add(checked(t, "80 30081 web", "tcp"), true), want: "~80/tcp -> this host:30081 web\n"},

		{name: "add with an expiry", change: Add(expiring(t, "80 30080 web", 1), false), want: "~80/tcp -> this host:30080 web\n"},
		{name: "add with a later expiry", change: Add(expiring(t, "23 30023", 2), false), want: "~23/tcp -> this host:30023\n"},
		{name: "add with the expiry that is there", change: Add(expiring(t, "23 30023", 1), false)},
		{name: "add without the expiry", change: add("23 30023"), want: "~23/tcp -> this host:30023\n"},
		{name: "add with an expiry and another backend", change: Add(expiring(t, "23 30024", 2), false), kind: ErrConflict, err: "23/tcp is taken, it goes to this host:30023; --replace takes it"},

		{name: "delete", change: Delete([]string{"80"}, false), want: "-80/tcp -> this host:30080 web\n"},
		{name: "delete by name", change: Delete([]string{"tls"}, false), want: "-443/tcp -> this host:30443 tls\n-443/udp -> this host:30443 tls\n"},
		{name: "delete one of two protocols", change: Delete([]string{"443/udp"}, false), want: "-443/udp -> this host:30443 tls\n"},
		{name: "delete both protocols", change: Delete([]string{"443/tcp+udp"}, false), want: "-443/tcp -> this host:30443 tls\n-443/udp -> this host:30443 tls\n"},
		{name: "delete whatever the device", change: Delete([]string{"8080"}, false), want: "-8080/tcp on eth0 -> this host:1\n"},
		{name: "delete twice the same", change: Delete([]string{"80", "web"}, false), want: "-80/tcp -> this host:30080 web\n"},
		{name: "delete udp as tcp", change: Delete([]string{"53"}, false), kind: ErrNotFound, err: "there is no forward 53/tcp; did you mean 53/udp?"},
		{name: "delete tcp as udp", change: Delete([]string{"80/udp"}, false), kind: ErrNotFound, err: "there is no forward 80/udp; did you mean 80/tcp?"},
		{name: "delete both where one is", change: Delete([]string{"53/tcp+udp"}, false), kind: ErrNotFound, err: "there is no forward 53/tcp; did you mean 53/udp?"},
		{name: "delete a port of a range", change: Delete([]string{"9003"}, false), kind: ErrNotFound, err: "there is no forward 9003/tcp; did you mean 9000-9005/tcp?"},
		{name: "delete another address", change: Delete([]string{"192.0.2.8:80"}, false), kind: ErrNotFound, err: "there is no forward 192.0.2.8:80/tcp; did you mean 80/tcp or 192.0.2.7:80/tcp?"},
		{name: "delete what is not there", change: Delete([]string{"80", "1234"}, false), kind: ErrNotFound, err: "there is no forward 1234/tcp; `xfwd list` shows what there is"},
		{name: "delete a name that is not there", change: Delete([]string{"nobody"}, false), kind: ErrNotFound, err: "no forward is named \"nobody\"; `xfwd list` shows what there is"},
		{name: "delete nonsense", change: Delete([]string{"80-79"}, false), kind: ErrSyntax, err: `frontend "80-79": the range runs backwards; write 79-80`},
		{name: "delete nonsense like a name", change: Delete([]string{"a b"}, false), kind: ErrSyntax, err: `name "a b" has a character that names do not have; use 1 to 63 letters, digits, '-', '_' and '.'`},

		{name: "apply", change: ApplyFile(forwards(t, "80 30080 web", "443 1 tls", "81 1"), false), want: "+81/tcp -> this host:1\n~443/tcp -> this host:1 tls\n"},
		{name: "apply a check", change: ApplyFile(checked(t, "80 30080 web", "tcp"), false), want: "~80/tcp -> this host:30080 web\n"},
		{name: "apply a moved name", change: ApplyFile(forwards(t, "81 30080 web"), false), want: "-80/tcp -> this host:30080 web\n+81/tcp -> this host:30080 web\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			had := append(forwards(t, have...), checked(t, "22 30022", "tcp")...)
			had = append(had, expiring(t, "23 30023", 1)...)
			Sort(had)
			want, err := test.change(slices.Clone(had))
			if test.err != "" {
				checkError(t, err, test.kind, test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := difference(t, had, want); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestChangeAll(t *testing.T) {
	have := forwards(t, "80 30080", "53/udp 5353", "443 1")
	none, err := Delete(nil, true)(have)
	if err != nil || len(none) != 0 {
		t.Errorf("delete all leaves %v, %v", none, err)
	}
	pruned, err := ApplyFile(forwards(t, "80 30080", "81 1"), true)(have)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(pruned), "80/tcp -> this host:30080\n81/tcp -> this host:1\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// difference prints what Difference finds, and checks that it leaves nothing
// out.
func difference(t *testing.T, have, want []Forward) string {
	t.Helper()
	added, removed, changed, kept := Difference(have, want)
	if stay := len(kept) + len(changed); stay+len(removed) != len(have) || stay+len(added) != len(want) {
		t.Errorf("%d kept, %d changed, %d removed, %d added of %d and %d", len(kept), len(changed), len(removed), len(added), len(have), len(want))
	}
	if !slices.IsSortedFunc(want, func(a, b Forward) int { return a.Frontend.Compare(b.Frontend) }) {
		t.Errorf("not sorted:\n%s", lines(want))
	}
	text := ""
	for _, f := range removed {
		text += "-" + lines([]Forward{f})
	}
	for _, f := range added {
		text += "+" + lines([]Forward{f})
	}
	for _, f := range changed {
		text += "~" + lines([]Forward{f})
	}
	return text
}

// A change of many forwards must not compare each with each.
func TestChangeOfMany(t *testing.T) {
	const many = 60000
	all := make([]Forward, many)
	for i := range all {
		port := uint16(i + 1)
		all[i] = Forward{
			Name:     fmt.Sprintf("f%d", i),
			Frontend: Frontend{Protocol: TCP, Ports: PortRange{port, port}},
			Backends: []Backend{{Ports: PortRange{1, 1}, Weight: 1}},
		}
	}
	start := time.Now()
	want, err := ApplyFile(all, false)(all)
	if err != nil || len(want) != many {
		t.Fatal(len(want), err)
	}
	if _, _, _, kept := Difference(all, want); len(kept) != many {
		t.Errorf("kept %d", len(kept))
	}
	// Comparing pairs would take minutes; this takes a fraction of a second.
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
