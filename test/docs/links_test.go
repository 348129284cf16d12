// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is one of Markdown.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// mention is a file or directory of the repository in running text.
var mention = regexp.MustCompile("`((?:bpf|cmd|deploy|docs|hack|internal|test)/[A-Za-z0-9_./-]+|[a-z0-9_]+\\.h)`")

// What documents link to or name is there: files, and tests.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	index := indexTests(t)
	for _, path := range documents(t) {
		text := read(t, path)
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(found[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			mustBeThere(t, path, filepath.Join(filepath.Dir(path), target))
		}
		for _, found := range mention.FindAllStringSubmatch(text, -1) {
			target := found[1]
			if !strings.Contains(target, "/") {
				target = "bpf/" + target
			}
			mustBeThere(t, path, target)
		}
		for _, name := range index.missing(text) {
			t.Errorf("%s: there is no %s", path, name)
		}
	}
}

// documents returns the documents of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	paths := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			path, err = filepath.Rel(root, path)
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func mustBeThere(t *testing.T, document, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, path)); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: there is no %s", document, path)
	}
}
