// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A test that got another name is not left out silently.
func TestCoreExists(t *testing.T) {
	core, err := parseSelection(coreList)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range defaultPackages {
		if !slices.Contains(core.packages, strings.TrimPrefix(path, "./")) {
			t.Errorf("nothing of %s is in the core", path)
		}
	}
	for _, name := range core.packages {
		source := sourceOfTests(t, filepath.Join("..", "..", name))
		if source == "" {
			t.Errorf("%s has no tests", name)
		}
		for _, test := range core.tests[name] {
			test, _, _ := strings.Cut(test, "/")
			if !strings.Contains(source, "\nfunc "+test+"(") {
				t.Errorf("%s has no %s", name, test)
			}
		}
	}
}

func TestParseSelection(t *testing.T) {
	s, err := parseSelection("# all\na/b\n\na/c\n  TestOne/a.b # why\n  TestTwo\n")
	if err != nil || !slices.Equal(s.packages, []string{"a/b", "a/c"}) {
		t.Fatalf("got %+v, %v", s, err)
	}
	for name, want := range map[string]string{"a/b": "", "a/c": `^TestOne$/^a\.b$|^TestTwo$`} {
		if got := s.run(name); got != want {
			t.Errorf("-test.run of %s is %q, want %q", name, got, want)
		}
	}
	for _, bad := range []string{"TestOne\n", "a/b\na/b\n", "a/b\nTestOne\nTestOne\n", "a/b TestOne\n"} {
		if s, err := parseSelection(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, s)
		}
	}
}

// sourceOfTests is the text of all tests below a directory.
func sourceOfTests(t *testing.T, dir string) string {
	t.Helper()
	var source strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return source.String()
}

func TestAmong(t *testing.T) {
	s := selection{packages: []string{"a/b", "a/c"}}
	for _, c := range []struct{ named, want []string }{
		{nil, []string{"./a/b", "./a/c"}},
		{[]string{"./a/c"}, []string{"./a/c"}},
		{[]string{"./a/d"}, nil},
	} {
		if got, err := s.among(c.named); !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("of %q: %q, %v", c.named, got, err)
		}
	}
}
