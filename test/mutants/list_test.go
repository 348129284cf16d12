// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a mutant is to change is in its file, once: a fault that cannot be put in is not looked for.
func TestMutantsCanBeMade(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join("..", "..", "bpf", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.right); n != 1 {
			t.Errorf("%s: %s has %q %d times", m.name, m.file, m.right, n)
		}
	}
}
