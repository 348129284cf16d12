// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// bystanders says what else is attached to the machine that takes part in the
// work: programs on the root cgroup run for every connection and datagram of
// every process, so they are in all figures alike. Other instances of xfwd are
// such.
func bystanders() []string {
	root, err := cgroup2()
	if err != nil {
		return nil
	}
	defer root.Close()
	var notes []string
	for _, hook := range []struct {
		attach ebpf.AttachType
		what   string
	}{
		{ebpf.AttachCGroupInet4Connect, "connects"},
		{ebpf.AttachCGroupUDP4Sendmsg, "sends a datagram"},
		{ebpf.AttachCGroupUDP4Recvmsg, "receives a datagram"},
		{ebpf.AttachCGroupInetIngress, "receives a packet"},
		{ebpf.AttachCGroupInetEgress, "sends a packet"},
	} {
		found, err := link.QueryPrograms(link.QueryOptions{Target: int(root.Fd()), Attach: hook.attach})
		if err == nil && len(found.Programs) > 0 {
			notes = append(notes, fmt.Sprintf("Other programs (%d) run whenever a process of this machine %s.", len(found.Programs), hook.what))
		}
	}
	return notes
}

// cgroup2 opens the root of the unified hierarchy.
func cgroup2() (*os.File, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return os.Open(f[1])
		}
	}
	return nil, os.ErrNotExist
}
