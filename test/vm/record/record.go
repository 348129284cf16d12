// SPDX-License-Identifier: Apache-2.0

// Package record keeps how many instructions the verifier of each kernel looks
// at in each program, which its host writes down and its tests compare with.
package record

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Counts are numbers of instructions, by program and by kernel.
type Counts map[string]map[string]int

// File is where the package of those tests has them.
const File = "testdata/instructions"

// Set writes a count down.
func (c Counts) Set(program, kernel string, count int) {
	if c[program] == nil {
		c[program] = map[string]int{}
	}
	c[program][kernel] = count
}

// Variable tells tests that their counts are to be written down instead of
// compared.
const Variable = "XFWD_RECORD"

// Line is what a test of a program logs.
func Line(count int) string { return fmt.Sprintf("%d instructions verified", count) }

var linePattern = regexp.MustCompile(`(\d+) instructions verified`)

// ParseLine finds the count in what a test has logged.
func ParseLine(logged string) (count int, ok bool) {
	match := linePattern.FindStringSubmatch(logged)
	if match == nil {
		return 0, false
	}
	count, err := strconv.Atoi(match[1])
	return count, err == nil
}

// header begins the file. Its table has a line for each program and a column for
// each kernel, in the order of their names; a dash is for a program that a kernel
// cannot load.
const header = `# SPDX-License-Identifier: Apache-2.0
#
# How many instructions the verifier of each kernel looks at in each program. What takes a fifth more than
# that fails test/vm/programs. ` + "`make record`" + ` writes this file.

`

const none = "-"

// Read reads a file. One that is not there has no counts.
func Read(file string) (Counts, error) {
	counts := Counts{}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return counts, nil
	}
	if err != nil {
		return nil, err
	}
	var kernels []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case kernels == nil:
			kernels = fields[1:]
		case len(fields) != 1+len(kernels):
			return nil, fmt.Errorf("%s: %q is not a program and %d counts", file, strings.TrimSpace(line), len(kernels))
		default:
			for i, kernel := range kernels {
				if fields[1+i] == none {
					continue
				}
				count, err := strconv.Atoi(fields[1+i])
				if err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
				counts.Set(fields[0], kernel, count)
			}
		}
	}
	return counts, nil
}

// Write writes a file.
func (c Counts) Write(file string) error {
	var programs, kernels []string
	for program, byKernel := range c {
		programs = append(programs, program)
		for kernel := range byKernel {
			if !slices.Contains(kernels, kernel) {
				kernels = append(kernels, kernel)
			}
		}
	}
	slices.Sort(programs)
	slices.SortFunc(kernels, compareKernels)
	var b bytes.Buffer
	b.WriteString(header)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\t"+strings.Join(kernels, "\t"))
	for _, program := range programs {
		row := []string{program}
		for _, kernel := range kernels {
			cell := none
			if count, ok := c[program][kernel]; ok {
				cell = strconv.Itoa(count)
			}
			row = append(row, cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// compareKernels has 5.10 after 5.9, and names behind numbers.
func compareKernels(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return slices.CompareFunc(x, y, func(s, t string) int {
		m, mErr := strconv.Atoi(s)
		n, nErr := strconv.Atoi(t)
		switch {
		case mErr == nil && nErr == nil:
			return m - n
		case mErr == nil:
			return -1
		case nErr == nil:
			return 1
		}
		return strings.Compare(s, t)
	})
}
