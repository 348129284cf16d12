// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// xfwd is what this is all about.
type xfwd struct{ inKernel }

func (xfwd) name() string { return "xfwd" }

func (xfwd) start(l lane) forwarder {
	x := l.forwarder.XFWD()
	backend := fmt.Sprint(l.backend.Port())
	if l.elsewhere() {
		backend = l.backend.String()
	}
	x.Do("add", fmt.Sprintf("%d/tcp+udp", l.frontend.to.Port()), backend)
	return forwarder{stop: func() { x.Do("unload") }}
}

// xfwdBystander is traffic that goes straight to the backend's port on a host
// where xfwd publishes it under another: what xfwd costs those who do not use
// it.
type xfwdBystander struct{ xfwd }

func (xfwdBystander) name() string       { return "direct beside xfwd" }
func (xfwdBystander) target(l lane) path { return l.direct }
