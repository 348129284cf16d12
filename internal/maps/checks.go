// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"time"

	"github.com/xfwd/xfwd/bpf"
)

// MaxPath is the longest path of a check, in bytes.
const MaxPath = len(bpf.XfwdForwardInfo{}.Check[0].Path)

// CheckKind is how it is found out whether a backend is alive.
type CheckKind uint8

// The kinds of checks.
const (
	CheckNone = CheckKind(bpf.XfwdCheckKindCHECK_NONE)
	CheckTCP  = CheckKind(bpf.XfwdCheckKindCHECK_TCP)
	CheckHTTP = CheckKind(bpf.XfwdCheckKindCHECK_HTTP)
	CheckUDP  = CheckKind(bpf.XfwdCheckKindCHECK_UDP)
)

// Check is that of a forward's backends. The zero value is none.
type Check struct {
	Kind CheckKind
	// Path is what CheckHTTP asks for.
	Path string
	// Port is 0 for the backend's.
	Port uint16
	// Interval and Timeout are kept in whole milliseconds.
	Interval, Timeout time.Duration
	// Rise and Fall are how many in a row must succeed, or fail.
	Rise, Fall uint8
}

func checkFromKernel(k *bpf.XfwdCheck) Check {
	return Check{
		Kind:     CheckKind(k.Kind),
		Path:     text(k.Path[:]),
		Port:     k.Port,
		Interval: time.Duration(k.Interval) * time.Millisecond,
		Timeout:  time.Duration(k.Timeout) * time.Millisecond,
		Rise:     k.Rise,
		Fall:     k.Fall,
	}
}

func (c Check) toKernel(k *bpf.XfwdCheck) {
	*k = bpf.XfwdCheck{
		Kind:     uint8(c.Kind),
		Port:     c.Port,
		Interval: uint32(c.Interval.Milliseconds()),
		Timeout:  uint32(c.Timeout.Milliseconds()),
		Rise:     c.Rise,
		Fall:     c.Fall,
	}
	copy(k.Path[:], c.Path)
}
