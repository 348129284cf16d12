// SPDX-License-Identifier: Apache-2.0

// Package packet tests the tc and XDP programs packet by packet: the kernel runs them on
// frames that a test describes (BPF_PROG_TEST_RUN), and what comes out is
// compared, byte by byte, with frames that are built from their description
// alone.
//
// Forwards are added as the command adds them, in a namespace of its own, so
// the programs, the maps and what is in them are the real ones. The tests need
// root.
package packet

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

func TestMain(m *testing.M) {
	if err := errors.Join(lab.Usable(), lab.Sweep()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	everyTest.end()
	if err := printTimings(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
