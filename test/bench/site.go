// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

// site is a topology that has been built.
type site struct {
	tb                        lab.TB
	client, forwarder, server *lab.Namespace
	// direct is where the client reaches the server with no forwarder between
	// them, frontend what a forwarder publishes, backend where it sends that.
	direct, frontend, backend netip.AddrPort
	// cpus are the processors of server and forwarder.
	cpus unix.CPUSet
}

// clientPorts gives the client the i-th of n parts of the port numbers, so that
// each peer has client ports of its own. Otherwise a connection through a
// translator could meet, at the server, what a direct one from the same port
// left there in TIME_WAIT: its sequence numbers and time stamps need not fit,
// and the handshake may take a second.
func (s *site) clientPorts(i, n int) {
	const first, end = 1024, 65536
	size := (end - first) / n
	s.client.Sysctl("net.ipv4.ip_local_port_range", fmt.Sprintf("%d %d", first+i*size, first+(i+1)*size-1))
}

// awaitListener waits until the client can connect.
func (s *site) awaitListener(at netip.AddrPort) {
	lab.Eventually(s.tb, 5*time.Second, func() (err error) {
		s.client.Do(func() { err = load.Probe(at) })
		return err
	})
}

// scratch makes a directory that goes with the site.
func (s *site) scratch() string {
	dir, err := os.MkdirTemp("", "xfwd-bench-")
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
	s.tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *site) write(file string, content []byte) {
	if err := os.WriteFile(file, content, 0o600); err != nil {
		s.tb.Fatalf("%v", err)
	}
}
