// SPDX-License-Identifier: Apache-2.0

package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCountsAreReadAsTheyWereWritten(t *testing.T) {
	counts := Counts{}
	counts.Set("ingress", "5.10", 40000)
	counts.Set("ingress", "newest", 50000)
	counts.Set("ingress", "5.4", 30000)
	counts.Set("frags", "newest", 10)
	file := filepath.Join(t.TempDir(), "counts")
	if err := counts.Write(file); err != nil {
		t.Fatal(err)
	}
	read, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counts, read); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const table = "program  5.4    5.10   newest\nfrags    -      -      10\ningress  30000  40000  50000\n"
	if got := strings.TrimPrefix(string(text), header); got != table {
		t.Errorf("the table is\n%s", got)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, bad := range []string{"program 5.10\ningress 1 2\n", "program 5.10\ningress many\n"} {
		file := filepath.Join(t.TempDir(), "counts")
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if counts, err := Read(file); err == nil {
			t.Errorf("%q: %v", bad, counts)
		}
	}
	if counts, err := Read(filepath.Join(t.TempDir(), "nothing")); err != nil || len(counts) != 0 {
		t.Errorf("no file: %v, %v", counts, err)
	}
}

func TestParseLine(t *testing.T) {
	if count, ok := ParseLine("    load_test.go:1: " + Line(123) + "\n"); !ok || count != 123 {
		t.Errorf("got %d, %v", count, ok)
	}
	if count, ok := ParseLine("a test talks of 12 instructions"); ok {
		t.Errorf("got %d", count)
	}
}
