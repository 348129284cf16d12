// SPDX-License-Identifier: Apache-2.0

package main

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errInterruptTime is what interruptsCounted fails with.
var errInterruptTime = errors.New("this kernel accounts for interrupts apart from processes (CONFIG_IRQ_TIME_ACCOUNTING), " +
	"so the cost of receiving packets would be missing: boot it with tsc=noirqtime")

// interruptsCounted checks that softirq time is part of the time of processes.
// A kernel that does not tell its configuration is believed.
func interruptsCounted() error {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	config := kernelConfig()
	if strings.Contains(config, "\nCONFIG_IRQ_TIME_ACCOUNTING=y\n") && !strings.Contains(string(cmdline), "noirqtime") {
		return errInterruptTime
	}
	return nil
}

// kernelConfig is the running kernel's configuration, empty when unknown.
func kernelConfig() string {
	if f, err := os.Open("/proc/config.gz"); err == nil {
		defer f.Close()
		if z, err := gzip.NewReader(f); err == nil {
			if text, err := io.ReadAll(z); err == nil {
				return string(text)
			}
		}
	}
	text, _ := os.ReadFile("/boot/config-" + kernelRelease()) // absent on some
	return string(text)
}

// kernelRelease is what uname -r prints.
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}
