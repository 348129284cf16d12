// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSkipped(t *testing.T) {
	const slow, lacking, asked, other = "TestAddIsQuick", "TestSSHThroughDrain", "TestOdd", "TestSSHThroughDrainAndMore"
	for _, c := range []struct {
		name string
		o    options
		want []string
	}{
		{"emulated", options{accelerator: "tcg"}, []string{slow, lacking}},
		{"not emulated", options{accelerator: "kvm"}, []string{lacking}},
		{"asked for", options{accelerator: "tcg", run: "."}, nil},
		{"not wanted", options{accelerator: "kvm", skip: "Odd"}, []string{lacking, asked}},
		{"asked for and not wanted", options{accelerator: "tcg", run: ".", skip: "Odd"}, []string{asked}},
	} {
		t.Run(c.name, func(t *testing.T) {
			skip := c.o.skipped()
			var got []string
			for _, test := range []string{slow, lacking, asked, other} {
				if skip != "" && regexp.MustCompile(skip).MatchString(test) {
					got = append(got, test)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("-test.skip=%s leaves out %q, want %q", skip, got, c.want)
			}
		})
	}
}

// A test that got another name is not left out any more.
func TestLeftOutTestsExist(t *testing.T) {
	source := sourceOfTests(t, "..")
	for _, name := range slices.Concat(emulatedTooSlow, guestLacks) {
		if !strings.Contains(source, "\nfunc "+name+"(") {
			t.Errorf("%s is left out and does not exist", name)
		}
	}
}
