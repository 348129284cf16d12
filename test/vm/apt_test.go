// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestUsualMirror(t *testing.T) {
	for script, want := range map[string]string{
		"#!/bin/sh\nDEF_MIRROR=\"http://mirror.example/debian\"\nX=\n": "http://mirror.example/debian",
		"DEF_MIRROR=\"http://mirror.example/other\"\n":                 "",
		"": "",
	} {
		if got := usualMirror([]byte(script)); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}
