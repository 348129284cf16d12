// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed lacks
var lackList string

// lack is tests that are skipped on some kernels, which lack what they are about.
type lack struct {
	kernels []string
	suite   string
	// test is a name, or a pattern as path.Match has them.
	test string
}

func parseLacks(list string) ([]lack, error) {
	var lacks []lack
	for _, fields := range fieldsOfLines(list) {
		if len(fields) != 3 {
			return nil, fmt.Errorf("lacks: %q is not kernels, a package and a test", strings.Join(fields, " "))
		}
		if _, err := path.Match(fields[2], ""); err != nil {
			return nil, fmt.Errorf("lacks: %s: %w", fields[2], err)
		}
		lacks = append(lacks, lack{strings.Split(fields[0], ","), fields[1], fields[2]})
	}
	return lacks, nil
}

// enforce fails a report in which a test was skipped though the kernel has what
// it is about, or ran though the kernel is said to lack that.
func enforce(lacks []lack, r *report) {
	lacking := func(test string) bool {
		return slices.ContainsFunc(lacks, func(l lack) bool {
			match, _ := path.Match(l.test, test)
			return match && l.suite == r.run.suite.name && slices.Contains(l.kernels, r.run.kernel.name)
		})
	}
	for _, skipped := range r.skipped {
		if !lacking(skipped.name) {
			const why = "    it was skipped, though test/vm/lacks does not say that the kernel lacks what it is about\n"
			r.failed = append(r.failed, testResult{skipped.name, skipped.output + why})
		}
	}
	for _, test := range r.passed {
		if lacking(test) {
			const why = "    it ran, though test/vm/lacks says that the kernel lacks what it is about\n"
			r.failed = append(r.failed, testResult{test, why})
		}
	}
}
