// SPDX-License-Identifier: Apache-2.0

// Package job is what the host and the guest of a test VM have to agree on.
package job

import (
	"fmt"
	"regexp"
	"strconv"
)

// File is where the guest finds its Job, in JSON.
const File = "/job.json"

// Results is the guest's serial port that the host reads results from.
const Results = "/dev/ttyS1"

// Job is one program that the guest runs.
type Job struct {
	// Modules are files to load in this order.
	Modules []string
	// Args is the program and its arguments, Env its environment, Dir the
	// directory that it runs in.
	Args, Env []string
	Dir       string
}

// The last thing that a guest says; a program's own output may end without a
// newline.
const statusFormat = "\nguest: exit status %d\n"

var statusPattern = regexp.MustCompile(`\nguest: exit status (\d+)\n$`)

// StatusLine ends the output of a program.
func StatusLine(status int) string { return fmt.Sprintf(statusFormat, status) }

// SplitStatus splits what a guest has said into the program's output and exit
// status. ok is false if the guest did not get that far.
func SplitStatus(said []byte) (output []byte, status int, ok bool) {
	match := statusPattern.FindSubmatchIndex(said)
	if match == nil {
		return said, 0, false
	}
	status, err := strconv.Atoi(string(said[match[2]:match[3]]))
	return said[:match[0]], status, err == nil
}
