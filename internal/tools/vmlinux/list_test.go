// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// spec returns a Spec that has types and what they need.
func spec(t *testing.T, types ...btf.Type) *btf.Spec {
	t.Helper()
	builder, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := builder.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestParseListRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"struct":                         `line 1: want a kind and a name`,
		"struct a b":                     `line 1: want a kind and a name`,
		"# a comment\n\nclass a":         `line 3: "class" is none of`,
		"struct a\nenum a\nstruct a # !": `line 3: struct a is on line 1 already`,
	} {
		if _, err := parseList(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	kernel := spec(t,
		&btf.Struct{Name: "s", Size: 4, Members: []btf.Member{{Name: "m", Type: u32}}},
		&btf.Union{Name: "u", Size: 4, Members: []btf.Member{{Name: "m", Type: u32}}},
		&btf.Typedef{Name: "t", Type: u32},
		&btf.Enum{Name: "e", Size: 4, Values: []btf.EnumValue{{Name: "NAMED", Value: 1}}},
		&btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "FIRST", Value: 1}, {Name: "SECOND", Value: 2}}},
	)
	entries, err := parseList("enumerator SECOND\ntypedef t # a comment\n\nunion u\nenum e\nstruct s\n")
	if err != nil {
		t.Fatal(err)
	}
	types, err := resolve(kernel, entries)
	if err != nil {
		t.Fatal(err)
	}
	header, err := printHeader(types, "")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, want := range []string{"SECOND = 2", "typedef unsigned int t;", "union u {", "enum e {", "struct s {"} {
		i := strings.Index(string(header[at:]), want)
		if i < 0 {
			t.Fatalf("no %q, or not in the order of the list:\n%s", want, header)
		}
		at += i
	}

	missing, err := parseList("struct u\nenumerator NAMED\n")
	if err != nil {
		t.Fatal(err)
	}
	_, err = resolve(kernel, missing)
	for _, want := range []string{"line 1: struct u", "line 2: enumerator NAMED"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestCheckMentioned(t *testing.T) {
	entries, err := parseList("struct used\nstruct unused\nenum e\nenumerator LONE\n")
	if err != nil {
		t.Fatal(err)
	}
	types := []btf.Type{
		&btf.Struct{Name: "used"},
		&btf.Struct{Name: "unused"},
		&btf.Enum{Name: "e", Values: []btf.EnumValue{{Name: "VALUE"}}},
		&btf.Enum{Values: []btf.EnumValue{{Name: "LONE"}, {Name: "OTHER"}}},
	}

	err = checkMentioned(entries, types, map[string]bool{"used": true, "VALUE": true, "OTHER": true})
	if err == nil || err.Error() != "line 2: no source mentions struct unused: remove it" {
		t.Errorf("error %v, want one about the struct that is not used alone", err)
	}
	if err := checkMentioned(entries, types, nil); err != nil {
		t.Errorf("without sources: %v", err)
	}
}
