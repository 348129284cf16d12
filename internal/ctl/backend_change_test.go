// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// change calls the function that makes the change of this verb.
func change(verb, ref string, words []string) (Change, error) {
	return map[string]func(string, []string) (Change, error){
		"add": AddBackends, "del": DeleteBackends, "drain": DrainBackends, "set": SetBackends,
	}[verb](ref, words)
}

func TestBackendChange(t *testing.T) {
	have := forwards(t, "53/tcp+udp 10.0.0.5:53 dns", "443/udp 1 quic", "8080 1 - eth0")
	web, err := Spec{Frontend: "80", Name: "web", Backends: []string{
		"10.0.0.5:80", "10.0.0.6:80,weight=3", "10.0.0.7:80,weight=3,state=draining", "10.0.0.8:80,weight=0",
	}}.Forwards(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	have = append(have, web...)
	fixed, err := Spec{Frontend: "192.0.2.7:81", Backends: []string{"10.0.0.5:80"}, Source: "masquerade"}.Forwards(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	have = append(have, fixed...)
	Sort(have)

	for _, test := range []struct {
		words string
		// want are the forwards that changed, with all of their backends.
		want string
		err  string
		kind error
	}{
		{words: "add quic 2", want: "443/udp: 1 2\n"},
		{words: "add quic 2,weight=5 3", want: "443/udp: 1 2,weight=5 3\n"},
		{words: "add dns 10.0.0.6:53", want: "53/tcp: 10.0.0.5:53 10.0.0.6:53\n53/udp: 10.0.0.5:53 10.0.0.6:53\n"},
		{words: "add 53/udp 10.0.0.6:53", want: "53/udp: 10.0.0.5:53 10.0.0.6:53\n"},
		{words: "add 53/tcp+udp 10.0.0.6:53,state=draining", want: "53/tcp: 10.0.0.5:53 10.0.0.6:53,state=draining\n53/udp: 10.0.0.5:53 10.0.0.6:53,state=draining\n"},
		{words: "add 8080 2", want: "8080/tcp: 1 2\n"},
		{words: "add web 10.0.0.5:80"},
		{words: "add web 10.0.0.6:80,weight=3 10.0.0.5:80"},
		{words: "add web 10.0.0.8:80,weight=0"},
		{words: "add web 10.0.0.5:80 10.0.0.9:80", want: "80/tcp: 10.0.0.5:80 10.0.0.6:80,weight=3 10.0.0.7:80,weight=3,state=draining 10.0.0.8:80,weight=0 10.0.0.9:80\n"},
		{words: "add web 10.0.0.5:80,weight=2", kind: ErrConflict, err: "80/tcp has 10.0.0.5:80 already; `xfwd backend set` changes it"},
		{words: "add web 10.0.0.6:80", kind: ErrConflict, err: "80/tcp has 10.0.0.6:80,weight=3 already; `xfwd backend set` changes it"},
		{words: "add web 10.0.0.7:80,weight=3", kind: ErrConflict, err: "80/tcp has 10.0.0.7:80,weight=3,state=draining already; `xfwd backend set` changes it"},
		{words: "add web 10.0.0.9:80 10.0.0.9:80,weight=2", kind: ErrSyntax, err: "backend 10.0.0.9:80 is given twice; give it once"},
		{words: "add 192.0.2.7:81 [2001:db8::9]:80", kind: ErrSyntax, err: "192.0.2.7:81/tcp is IPv4 and backend [2001:db8::9]:80 is IPv6, and xfwd does not translate between them; give both in one family"},
		{words: "add 192.0.2.7:81 80", kind: ErrSyntax, err: "backend 80 is this host itself, whose answers need no masquerade to come back; give it an address or choose source auto"},
		{words: "add web 80/tcp", kind: ErrSyntax, err: `backend "80/tcp": a backend has the protocol of its frontend; leave the slash and what follows it out`},
		{words: "add mail 10.0.0.5:25", kind: ErrNotFound, err: "no forward is named \"mail\"; `xfwd list` shows what there is"},
		{words: "add 443 2", kind: ErrNotFound, err: "there is no forward 443/tcp; did you mean 443/udp?"},

		{words: "del web 10.0.0.6:80 10.0.0.8:80", want: "80/tcp: 10.0.0.5:80 10.0.0.7:80,weight=3,state=draining\n"},
		{words: "del quic 1", want: "443/udp:\n"},
		{words: "del dns 10.0.0.5:53", want: "53/tcp:\n53/udp:\n"},
		{words: "del web 10.0.0.5:81", kind: ErrNotFound, err: "80/tcp has no backend 10.0.0.5:81; `xfwd show 80/tcp` lists those it has"},
		{words: "del web 10.0.0.5:80 80", kind: ErrNotFound, err: "80/tcp has no backend this host:80; `xfwd show 80/tcp` lists those it has"},
		{words: "del 8080 2", kind: ErrNotFound, err: "8080/tcp on eth0 has no backend this host:2; `xfwd show 8080/tcp` lists those it has"},
		{words: "del web 10.0.0.6:80,weight=3", kind: ErrSyntax, err: "backend 10.0.0.6:80,weight=3 needs no options here; write 10.0.0.6:80"},
		{words: "del web 10.0.0.5:80 10.0.0.5:80", kind: ErrSyntax, err: "backend 10.0.0.5:80 is given twice; give it once"},

		{words: "drain web 10.0.0.5:80 10.0.0.6:80", want: "80/tcp: 10.0.0.5:80,state=draining 10.0.0.6:80,weight=3,state=draining 10.0.0.7:80,weight=3,state=draining 10.0.0.8:80,weight=0\n"},
		{words: "drain web 10.0.0.7:80 10.0.0.8:80"},
		{words: "drain web 10.0.0.5:80,state=draining", kind: ErrSyntax, err: "backend 10.0.0.5:80,state=draining needs no options here; write 10.0.0.5:80"},
		{words: "drain web 10.0.0.9:80", kind: ErrNotFound, err: "80/tcp has no backend 10.0.0.9:80; `xfwd show 80/tcp` lists those it has"},

		{words: "set web 10.0.0.5:80,weight=7", want: "80/tcp: 10.0.0.5:80,weight=7 10.0.0.6:80,weight=3 10.0.0.7:80,weight=3,state=draining 10.0.0.8:80,weight=0\n"},
		{words: "set web 10.0.0.5:80,weight=0", want: "80/tcp: 10.0.0.5:80,weight=0 10.0.0.6:80,weight=3 10.0.0.7:80,weight=3,state=draining 10.0.0.8:80,weight=0\n"},
		{words: "set web 10.0.0.7:80", want: "80/tcp: 10.0.0.5:80 10.0.0.6:80,weight=3 10.0.0.7:80,weight=3 10.0.0.8:80,weight=0\n"},
		{words: "set web 10.0.0.7:80,weight=1", want: "80/tcp: 10.0.0.5:80 10.0.0.6:80,weight=3 10.0.0.7:80 10.0.0.8:80,weight=0\n"},
		{words: "set web 10.0.0.7:80,weight=5,state=draining", want: "80/tcp: 10.0.0.5:80 10.0.0.6:80,weight=3 10.0.0.7:80,weight=5,state=draining 10.0.0.8:80,weight=0\n"},
		{words: "set web 10.0.0.8:80", want: "80/tcp: 10.0.0.5:80 10.0.0.6:80,weight=3 10.0.0.7:80,weight=3,state=draining 10.0.0.8:80\n"},
		{words: "set web 10.0.0.8:80,state=draining"},
		{words: "set web 10.0.0.6:80"},
		{words: "set web 10.0.0.9:80,weight=2", kind: ErrNotFound, err: "80/tcp has no backend 10.0.0.9:80; `xfwd show 80/tcp` lists those it has"},
	} {
		t.Run(test.words, func(t *testing.T) {
			words := strings.Fields(test.words)
			had := slices.Clone(have)
			var want []Forward
			c, err := change(words[0], words[1], words[2:])
			if err == nil {
				want, err = c(had)
			}
			if !slices.EqualFunc(had, have, Forward.Equal) {
				t.Errorf("the change changed what there is: %v", had)
			}
			if test.err != "" {
				checkError(t, err, test.kind, test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			added, removed, changed, kept := Difference(had, want)
			if len(added)+len(removed) > 0 || len(changed)+len(kept) != len(had) {
				t.Errorf("%d added, %d removed, %d changed, %d kept", len(added), len(removed), len(changed), len(kept))
			}
			got := ""
			for _, f := range changed {
				got += f.Frontend.String() + ":"
				for _, b := range f.Backends {
					got += " " + b.String()
				}
				got += "\n"
			}
			if got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

// If one of two forwards has not what is asked for, neither changes.
func TestBackendChangeOfOneOfTwo(t *testing.T) {
	have := forwards(t, "53/tcp 1 dns", "53/udp 2 dns")
	c, err := DeleteBackends("dns", []string{"1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c(have)
	checkError(t, err, ErrNotFound, "53/udp has no backend this host:1; `xfwd show 53/udp` lists those it has")
}

func TestTooManyBackends(t *testing.T) {
	full, err := Spec{Frontend: "80", Backends: manyBackends(4096)}.Forwards(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	c, err := AddBackends("80", []string{"30080"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c(full)
	checkError(t, err, ErrSyntax, "80/tcp has 4097 backends; give at most 4096")
}

// The order of backends means nothing, so what is there in another order stays.
func TestOrderOfBackends(t *testing.T) {
	words := []string{"10.0.0.5:80", "10.0.0.6:80,weight=3", "30080"}
	var orders [2][]Forward
	for i := range orders {
		var err error
		if orders[i], err = (Spec{Frontend: "80", Backends: words}).Forwards(time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(words)
	}
	want, err := Add(orders[1], false)(orders[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, kept := Difference(orders[0], want); len(kept) != 1 {
		t.Errorf("%s does not stay for %s", lines(orders[0]), lines(want))
	}
}

func BenchmarkAddBackends(b *testing.B) {
	forwards, err := Spec{Frontend: "80", Backends: manyBackends(2048)}.Forwards(time.Unix(0, 0))
	if err != nil {
		b.Fatal(err)
	}
	var words []string
	for i := range 2048 {
		words = append(words, fmt.Sprintf("10.1.%d.%d:80", i>>8, i&0xff))
	}
	for b.Loop() {
		c, err := AddBackends("80", words)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c(forwards); err != nil {
			b.Fatal(err)
		}
	}
}
