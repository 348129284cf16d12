// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/xfwd/xfwd/internal/ctl"
)

// BenchmarkLines tells of ten thousand changed forwards; comparing each with each
// takes a second.
func BenchmarkLines(b *testing.B) {
	o := outcome{before: manyForwards(b, 1), Report: ctl.Report{Changed: manyForwards(b, 2)}}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(o.lines("")); got != len(o.Changed) {
			b.Fatalf("%d lines for %d forwards", got, len(o.Changed))
		}
	}
}

// manyForwards returns ten thousand forwards to one port.
func manyForwards(b *testing.B, port uint16) []ctl.Forward {
	b.Helper()
	forwards := make([]ctl.Forward, 10_000)
	for i := range forwards {
		frontends, err := ctl.ParseFrontend("192.0.2.1:80")
		if err != nil {
			b.Fatal(err)
		}
		forwards[i].Frontend = frontends[0]
		forwards[i].Frontend.Ports = ctl.PortRange{First: uint16(i + 1), Last: uint16(i + 1)}
		forwards[i].Backends = []ctl.Backend{{Ports: ctl.PortRange{First: port, Last: port}, Weight: 1}}
	}
	return forwards
}
