// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// testFile is a file of tests.
type testFile struct {
	// words are the texts in it, of which names of cases are made.
	words map[string]bool
}

// testIndex has the file of each test, by name: the package's, a dot, and its own.
type testIndex map[string]testFile

// indexTests reads all tests of the repository.
func indexTests(t *testing.T) testIndex {
	t.Helper()
	index := make(testIndex)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		index.add(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func (index testIndex) add(file *ast.File) {
	f := testFile{words: make(map[string]bool)}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, is := n.(*ast.BasicLit); is && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				// The name of a case may go on with what it is about.
				f.words[strings.TrimRight(text, " ,")] = true
			}
		}
		return true
	})
	for _, declaration := range file.Decls {
		if function, is := declaration.(*ast.FuncDecl); is && function.Recv == nil && strings.HasPrefix(function.Name.Name, "Test") {
			index[file.Name.Name+"."+function.Name.Name] = f
		}
	}
}

// testName is how documents name a test: `packet.TestUDP`, or one of its cases:
// `packet.TestUDP/nobody answers`.
var testName = regexp.MustCompile("`([a-z0-9]+\\.Test[A-Za-z0-9]+)(?:/([^`]+))?`")

// missing returns the tests and cases that a text names and nobody has written.
func (index testIndex) missing(text string) []string {
	var missing []string
	for _, name := range testName.FindAllStringSubmatch(text, -1) {
		file, found := index[name[1]]
		if !found || name[2] != "" && !file.words[name[2]] {
			missing = append(missing, strings.Trim(name[0], "`"))
		}
	}
	return missing
}

// The check itself can fail.
func TestMissingTestsAreNoticed(t *testing.T) {
	index := indexTests(t)
	here := "`docs.TestMissingTestsAreNoticed`"
	for text, want := range map[string]int{
		here: 0,
		"`docs.TestMissingTestsAreNoticed/a case of this text`": 0,
		"`docs.TestMissingTestsAreNoticed/another`":             1,
		"`docs.TestThatNobodyHasWritten` and " + here:           1,
		"`nowhere.TestMissingTestsAreNoticed`":                  1,
	} {
		if got := index.missing(text); len(got) != want {
			t.Errorf("of %s these are missing: %q", text, got)
		}
	}
	_ = "a case of this text"
}
