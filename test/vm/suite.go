// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// suite is a package with tests, compiled for guests.
type suite struct {
	// name is the import path without the module's.
	name string
	// binary is the file that `go test -c` made, dir the package's source.
	binary, dir string
}

const module = "github.com/xfwd/xfwd"

// build compiles a package statically; binary is where to.
func build(ctx context.Context, binary string, args ...string) error {
	command := exec.CommandContext(ctx, "go", append(args[:1:1], append([]string{"-o", binary}, args[1:]...)...)...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	_, err := output(command)
	return err
}

// compile builds the tests of packages. Those without tests are an error.
func compile(ctx context.Context, dir string, packages []string) ([]suite, error) {
	args := append([]string{"list", "-f", "{{.ImportPath}} {{.Dir}}"}, packages...)
	list, err := output(exec.CommandContext(ctx, "go", args...))
	if err != nil {
		return nil, err
	}
	var suites []suite
	for line := range strings.Lines(list) {
		importPath, source, _ := strings.Cut(strings.TrimSpace(line), " ")
		s := suite{name: strings.TrimPrefix(importPath, module+"/"), dir: source}
		s.binary = filepath.Join(dir, strings.ReplaceAll(s.name, "/", "-")+".test")
		if err := build(ctx, s.binary, "test", "-c", importPath); err != nil {
			return nil, err
		}
		if _, err := os.Stat(s.binary); err != nil {
			return nil, fmt.Errorf("%s has no tests", importPath)
		}
		suites = append(suites, s)
	}
	return suites, nil
}

// guestDir is where the guest has the package's source directory, of which it
// gets the test data.
func (s suite) guestDir() string { return path.Join("/source", s.name) }
