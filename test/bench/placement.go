// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// placement says which processors the work runs on.
type placement struct {
	// client is for the client alone, server for server and forwarder.
	client, server unix.CPUSet
	// softirqd are the ids of the kernel's softirq threads of both.
	softirqd []int
}

// newPlacement reads "N" for everything on one processor, or "N,M" for the
// client on N and the others on M. An empty string is the last processor that
// this process may use.
func newPlacement(text string) (placement, error) {
	var p placement
	if text == "" {
		var allowed unix.CPUSet
		if err := unix.SchedGetaffinity(0, &allowed); err != nil {
			return p, os.NewSyscallError("sched_getaffinity", err)
		}
		for cpu := range len(allowed) * 64 {
			if allowed.IsSet(cpu) {
				text = strconv.Itoa(cpu)
			}
		}
	}
	client, server, two := strings.Cut(text, ",")
	if !two {
		server = client
	}
	for _, half := range []struct {
		text string
		set  *unix.CPUSet
	}{{client, &p.client}, {server, &p.server}} {
		cpu, err := strconv.ParseUint(half.text, 10, 10)
		if err != nil {
			return p, fmt.Errorf("-cpus %q: want one processor, or two separated by a comma", text)
		}
		half.set.Set(int(cpu))
		if two || half.set == &p.client {
			p.softirqd = append(p.softirqd, threadsNamed("ksoftirqd/"+half.text)...)
		}
	}
	return p, nil
}

// threadsNamed finds the kernel threads of that name; in a container there are
// none to be seen.
func threadsNamed(name string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is good
	var pids []int
	for _, file := range files {
		comm, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(comm)) != name {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
