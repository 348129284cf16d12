// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
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
	dir, err := os.MkdirTemp("", "xfwd-bench-")
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
	s.tb.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.tb.Fatalf("%v", err)
	}
	p := spawn(s.tb, s.forwarder, s.cpus, exec.Command("haproxy", "-q", "-db", "-f", file))
	lab.Eventually(s.tb, 5*time.Second, func() (err error) {
		s.client.Do(func() { err = load.Probe(s.frontend) })
		return err
	})
	return forwarder{pids: []int{p.pid()}, stop: p.stop}
}
