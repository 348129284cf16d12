// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/vm/job"
)

// runJob runs a program to its end and returns its exit status, as shells tell
// it. It waits for every process that loses its parent, as the first process
// must.
func runJob(j job.Job, output *os.File) (status int, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	process, err := os.StartProcess(j.Args[0], j.Args, &os.ProcAttr{
		Dir:   j.Dir,
		Env:   j.Env,
		Files: []*os.File{null, output, output},
	})
	if err != nil {
		return 0, err
	}
	for {
		var state unix.WaitStatus
		switch pid, err := unix.Wait4(-1, &state, 0, nil); {
		case err == unix.EINTR || err == nil && pid != process.Pid:
		case err != nil:
			return 0, err
		case state.Signaled():
			return 128 + int(state.Signal()), nil
		default:
			return state.ExitStatus(), nil
		}
	}
}
