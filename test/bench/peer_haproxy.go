// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/xfwd/xfwd/test/bench/load"
)

// haproxy accepts connections and makes its own to the backend: mode tcp, one
// thread.
type haproxy struct{ inKernel }

func (haproxy) name() string             { return "HAProxy" }
func (haproxy) carries(k load.Kind) bool { return k != load.Datagram }

func (haproxy) start(s *site) forwarder {
	config := fmt.Sprintf(`
global
	nbthread 1
	maxconn 1000
defaults
	mode tcp
	timeout connect 5s
	timeout client 1m
	timeout server 1m
listen bench
	bind %s
	server backend %s
`, s.frontend, s.backend)
	file := filepath.Join(s.scratch(), "haproxy.cfg")
	s.write(file, []byte(config))
	p := spawn(s.tb, s.forwarder, s.cpus, exec.Command("haproxy", "-q", "-db", "-f", file))
	s.awaitListener(s.frontend)
	return forwarder{pids: []int{p.pid()}, stop: p.stop}
}
