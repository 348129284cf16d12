// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"testing"

	"github.com/xfwd/xfwd/bpf"
)

// longest does what the kernel's trie does: it returns the entry with the
// longest prefix that has the port.
func longest(t FrontendTable, port uint16) bpf.XfwdFrontend {
	var best bpf.XfwdFrontend
	bits := -1
	for key, entry := range t.ranges {
		p := prefixOf(key)
		if p.Port <= port && port <= p.Last() && p.Bits > bits {
			best, bits = entry, p.Bits
		}
	}
	return best
}

func TestARangeOfOneEpochDoesNotHideThatOfTheOther(t *testing.T) {
	tcp := func(forward uint32, first, last uint16) Frontend {
		return Frontend{Forward: forward, Protocol: 6, PortFirst: first, PortLast: last}
	}
	owner := func(frontends []Frontend, port uint16) uint32 {
		for _, f := range frontends {
			if f.PortFirst <= port && port <= f.PortLast {
				return f.Forward
			}
		}
		return 0
	}
	before := []Frontend{tcp(1, 9000, 9007), tcp(2, 9100, 9355), tcp(3, 10000, 10001)}
	after := []Frontend{tcp(4, 9000, 9003), tcp(5, 9004, 9200), tcp(6, 9201, 12000)}
	table := NewFrontendTable(before, after)
	for port := uint16(8990); port < 12010; port++ {
		got := longest(table, port)
		want := [2]uint32{owner(before, port), owner(after, port)}
		if got.Forward != want {
			t.Fatalf("port %d finds forwards %v, want %v", port, got.Forward, want)
		}
	}
}
