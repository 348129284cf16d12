// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"strings"
	"testing"
	"time"
)

// frontend parses a frontend and the devices that follow it after spaces.
func frontend(t *testing.T, s string) Frontend {
	t.Helper()
	words := strings.Fields(s)
	frontends, err := ParseFrontend(words[0])
	if err != nil || len(frontends) != 1 {
		t.Fatalf("%s is %v, %v", s, frontends, err)
	}
	frontends[0].Devices = canonicalDevices(words[1:])
	return frontends[0]
}

// forwards reads one forward a line, as FRONTEND BACKEND [NAME] [DEVICE...],
// with - for no name.
func forwards(t *testing.T, lines ...string) []Forward {
	t.Helper()
	var all []Forward
	for _, line := range lines {
		words := strings.Fields(line)
		spec := Spec{Frontend: words[0], Backends: words[1:2]}
		if len(words) > 2 && words[2] != "-" {
			spec.Name = words[2]
		}
		if len(words) > 3 {
			spec.Devices = words[3:]
		}
		fs, err := spec.Forwards(time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fs...)
	}
	return all
}

// check parses a check.
func check(t *testing.T, word string) Check {
	t.Helper()
	c, err := ParseCheck(word)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checked reads one forward as forwards does, and has its backends looked after.
func checked(t *testing.T, line, word string) []Forward {
	t.Helper()
	fs := forwards(t, line)
	for i := range fs {
		fs[i].Check = check(t, word)
	}
	return fs
}

// expiring reads one forward as forwards does, and has it end in some hours.
func expiring(t *testing.T, line string, hours int) []Forward {
	t.Helper()
	fs := forwards(t, line)
	for i := range fs {
		fs[i].ExpiresAt = time.Unix(int64(hours)*3600, 0)
	}
	return fs
}

// lines is the inverse of forwards.
func lines(all []Forward) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.String())
		if f.Name != "" {
			b.WriteString(" " + f.Name)
		}
		b.WriteString("\n")
	}
	return b.String()
}
