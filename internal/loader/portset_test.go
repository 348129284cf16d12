// SPDX-License-Identifier: Apache-2.0

package loader

import "testing"

func TestPortSetReadsWhatItWrites(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "",
		"80":                   "80",
		"0,65535":              "0,65535",
		"63-64":                "63-64",
		"8000-8010,80,81,8011": "80-81,8000-8011",
		"0-65535":              "0-65535",
	} {
		s, err := parsePortSet(text)
		if err != nil || s.String() != want {
			t.Errorf("%q is read as %q, error %v; want %q", text, s.String(), err, want)
		}
	}
	for _, text := range []string{"x", "1-x", "65536", "1 2"} {
		if _, err := parsePortSet(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestPortSetsAreJoinedAndTakenApart(t *testing.T) {
	a, _ := parsePortSet("10-20,30")
	b, _ := parsePortSet("15-25,40")
	union, rest := a.union(&b), a.without(&b)
	if union.String() != "10-25,30,40" || rest.String() != "10-14,30" {
		t.Errorf("union %s, rest %s", union.String(), rest.String())
	}
	if a.String() != "10-20,30" {
		t.Errorf("the set itself has changed to %s", a.String())
	}
}
