// SPDX-License-Identifier: Apache-2.0

// Package docs checks that what the documents name is there.
package docs

import (
	"os"
	"path/filepath"
	"testing"
)

// root is the directory of the repository.
const root = "../.."

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
