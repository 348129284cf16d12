// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/bench/load"
)

// peer is a way to publish a site's frontend.
type peer interface {
	name() string
	// carries says whether the peer can do that kind of work at all.
	carries(load.Kind) bool
	// target is where the client of a site sends its traffic.
	target(*site) netip.AddrPort
	start(*site) forwarder
}

// forwarder is a peer at work.
type forwarder struct {
	// pids are processes that the traffic goes through.
	pids []int
	// stop leaves the site as it was before start.
	stop func()
}

// inKernel is what peers have in common that carry everything.
type inKernel struct{}

func (inKernel) carries(load.Kind) bool        { return true }
func (inKernel) target(s *site) netip.AddrPort { return s.frontend }

// direct is no forwarder at all.
type direct struct{ inKernel }

func (direct) name() string                  { return "direct" }
func (direct) target(s *site) netip.AddrPort { return s.direct }
func (direct) start(*site) forwarder         { return forwarder{stop: func() {}} }

// directAgain is direct a second time: its ratio to the first shows the noise.
type directAgain struct{ direct }

func (directAgain) name() string { return "direct′" }
