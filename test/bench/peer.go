// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/xfwd/xfwd/test/bench/load"

// peer is a way to publish a lane's frontend.
type peer interface {
	name() string
	// carries says whether the peer can do that kind of work at all.
	carries(load.Kind) bool
	// target is where the client sends its traffic.
	target(lane) path
	start(lane) forwarder
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

func (inKernel) carries(load.Kind) bool { return true }
func (inKernel) target(l lane) path     { return l.frontend }

// direct is no forwarder at all.
type direct struct{ inKernel }

func (direct) name() string         { return "direct" }
func (direct) target(l lane) path   { return l.direct }
func (direct) start(lane) forwarder { return forwarder{stop: func() {}} }

// directAgain is direct a second time: its ratio to the first shows the noise.
type directAgain struct{ direct }

func (directAgain) name() string { return "direct′" }

// kernelRouting is a host that translates nothing: the client knows the
// backend's own address.
type kernelRouting struct{ inKernel }

func (kernelRouting) name() string         { return "kernel routing" }
func (kernelRouting) target(l lane) path   { return path{l.frontend.from, l.backend} }
func (kernelRouting) start(lane) forwarder { return forwarder{stop: func() {}} }
