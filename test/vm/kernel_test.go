// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"testing"
)

// The list has the oldest kernel that xfwd promises to work on, and each name
// once, for names are those of files.
func TestListOfKernels(t *testing.T) {
	kernels, err := listKernels(kernelList, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, k := range kernels {
		if names[k.name] {
			t.Errorf("%s is listed twice", k.name)
		}
		names[k.name] = true
	}
	if !names["5.10"] {
		t.Errorf("5.10 is not among %v", names)
	}
}

func TestListKernels(t *testing.T) {
	const list = "# a comment\n\n5.10 bullseye linux # another\n6.1 bookworm linux\n"
	kernels, err := listKernels(list, regexp.MustCompile(`^6`))
	if err != nil || len(kernels) != 1 || kernels[0] != (kernel{name: "6.1", suite: "bookworm", pkg: "linux"}) {
		t.Errorf("got %+v, %v", kernels, err)
	}
	for _, bad := range []struct{ list, match string }{{list, "7"}, {"5.10 bullseye\n", ""}} {
		if kernels, err := listKernels(bad.list, regexp.MustCompile(bad.match)); err == nil {
			t.Errorf("%q, %q: got %+v, want an error", bad.list, bad.match, kernels)
		}
	}
}
