// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

//go:embed core
var coreList string

// selection is tests of some packages.
type selection struct {
	// packages are import paths without the module's, in the order of the list.
	packages []string
	// tests are their tests by name, or some cases of one; none means all.
	tests map[string][]string
}

// parseSelection reads a list of packages, each followed by its tests.
func parseSelection(list string) (selection, error) {
	s := selection{tests: map[string][]string{}}
	for _, fields := range fieldsOfLines(list) {
		name := fields[0]
		switch {
		case len(fields) != 1:
			return s, fmt.Errorf("core: %q is not one package or test", strings.Join(fields, " "))
		case !strings.HasPrefix(name, "Test"):
			if slices.Contains(s.packages, name) {
				return s, fmt.Errorf("core: %s is listed twice", name)
			}
			s.packages = append(s.packages, name)
		case len(s.packages) == 0:
			return s, fmt.Errorf("core: %s belongs to no package", name)
		default:
			last := s.packages[len(s.packages)-1]
			if slices.Contains(s.tests[last], name) {
				return s, fmt.Errorf("core: %s is listed twice", name)
			}
			s.tests[last] = append(s.tests[last], name)
		}
	}
	return s, nil
}

// among returns the packages as `go list` takes them: all, or those that are named.
func (s selection) among(named []string) ([]string, error) {
	var paths []string
	for _, name := range s.packages {
		if path := "./" + name; len(named) == 0 || slices.Contains(named, path) {
			paths = append(paths, path)
		}
	}
	if len(named) > 0 && len(paths) != len(named) {
		return nil, fmt.Errorf("the core has tests of %s only", strings.Join(s.packages, ", "))
	}
	return paths, nil
}

// run is what -test.run takes for a package's tests.
func (s selection) run(name string) string { return pattern(s.tests[name]) }

// pattern is what -test.run takes for tests, or cases of some: alternatives, each of
// which has a regexp for each level.
func pattern(tests []string) string {
	var alternatives []string
	for _, test := range tests {
		levels := strings.Split(test, "/")
		for i := range levels {
			levels[i] = "^" + regexp.QuoteMeta(levels[i]) + "$"
		}
		alternatives = append(alternatives, strings.Join(levels, "/"))
	}
	return strings.Join(alternatives, "|")
}
