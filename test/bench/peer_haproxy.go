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

func (haproxy) start(l lane) forwarder {
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
`, l.frontend.to, l.backend)
	file := filepath.Join(l.scratch(), "haproxy.cfg")
	l.write(file, []byte(config))
	p := spawn(l.tb, l.forwarder, l.cpus, exec.Command("haproxy", "-q", "-db", "-f", file))
	l.awaitListener(l.frontend.to)
	return forwarder{pids: []int{p.pid()}, stop: p.stop}
}
