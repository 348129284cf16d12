// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/xfwd/xfwd/test/vm/record"
)

// writeRecord writes down how many instructions verifiers have looked at. Kernels
// that have not run keep their counts.
func writeRecord(reports []report) error {
	for _, r := range reports {
		file := filepath.Join(r.run.suite.dir, record.File)
		counts, err := record.Read(file)
		if err != nil {
			return err
		}
		for _, byKernel := range counts {
			delete(byKernel, r.run.kernel.name)
		}
		for program, count := range r.counts {
			counts.Set(program, r.run.kernel.name, count)
		}
		if err := counts.Write(file); err != nil {
			return err
		}
		fmt.Printf("%s: %d programs on %s\n", file, len(r.counts), r.run.kernel.name)
	}
	return nil
}
