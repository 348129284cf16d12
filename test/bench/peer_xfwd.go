// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
)

// xfwd is what this is all about.
type xfwd struct{ inKernel }

func (xfwd) name() string { return "xfwd" }

func (xfwd) start(s *site) forwarder {
	x := s.forwarder.XFWD()
	x.Do("add", fmt.Sprintf("%d/tcp+udp", s.frontend.Port()), fmt.Sprint(s.backend.Port()))
	return forwarder{stop: func() { x.Do("unload") }}
}

// xfwdBystander is traffic that goes straight to the backend's port on a host
// where xfwd publishes it under another: what xfwd costs those who do not use
// it.
type xfwdBystander struct{ xfwd }

func (xfwdBystander) name() string                  { return "direct beside xfwd" }
func (xfwdBystander) target(s *site) netip.AddrPort { return s.direct }
