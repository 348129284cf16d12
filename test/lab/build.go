// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// program is the xfwd that tests run. Main sets it.
var program string

// Main is the body of a TestMain: it removes what killed runs left, builds
// xfwd, runs the tests, and returns the exit status. XFWD_BINARY names a binary
// that is built already, for machines without a Go toolchain.
func Main(tests interface{ Run() int }) int {
	status, err := mainStatus(tests)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func mainStatus(tests interface{ Run() int }) (status int, err error) {
	if err := Usable(); err != nil {
		return 0, err
	}
	if err := Sweep(); err != nil {
		return 0, fmt.Errorf("removing what an earlier run left: %w", err)
	}
	if program = os.Getenv("XFWD_BINARY"); program == "" {
		dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid()))
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		// Others than root must be able to run it.
		if err := os.Chmod(dir, 0o755); err != nil {
			return 0, err
		}
		program = filepath.Join(dir, "xfwd")
		if err := Build(program); err != nil {
			return 0, err
		}
	}
	return tests.Run(), nil
}

// Build builds xfwd with more flags of `go build`, which takes a Go toolchain.
func Build(program string, flags ...string) error {
	args := append([]string{"build", "-o", program}, flags...)
	command := exec.Command("go", append(args, "github.com/xfwd/xfwd/cmd/xfwd")...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	return nil
}
