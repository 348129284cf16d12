// SPDX-License-Identifier: Apache-2.0

// Command guest is the first process of a test VM. It makes the machine look
// like one that has booted, runs the job that it finds, tells the host how that
// ended, and switches the machine off.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/vm/job"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the first process of a test VM; run test/vm instead")
		os.Exit(2)
	}
	// If anything fails, the kernel's panic ends the machine and the host shows
	// the console.
	if err := run(); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	if err := prepare(); err != nil {
		return err
	}
	results, err := openResults()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(job.File)
	if err != nil {
		return err
	}
	var j job.Job
	if err := json.Unmarshal(content, &j); err != nil {
		return fmt.Errorf("%s: %w", job.File, err)
	}
	for _, module := range j.Modules {
		if err := loadModule(module); err != nil {
			return fmt.Errorf("load %s: %w", module, err)
		}
	}
	status, err := runJob(j, results)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(results, job.StatusLine(status)); err != nil {
		return err
	}
	return drain(results)
}
