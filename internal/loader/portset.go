// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"strconv"
	"strings"
)

// portSet is a set of ports.
type portSet [(1 << 16) / 64]uint64

// parsePortSet reads what the kernel writes: ports and ranges with commas between
// them, such as "80,8000-8010".
func parsePortSet(text string) (portSet, error) {
	var s portSet
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return s, fmt.Errorf("list of ports %q: %w", text, err)
		}
		last, err := strconv.ParseUint(to, 10, 16)
		if err != nil {
			return s, fmt.Errorf("list of ports %q: %w", text, err)
		}
		s.add(uint16(first), uint16(last))
	}
	return s, nil
}

// String is the inverse of parsePortSet.
func (s *portSet) String() string {
	var parts []string
	for port := 0; port < 1<<16; port++ {
		if !s.has(port) {
			continue
		}
		first := port
		for port+1 < 1<<16 && s.has(port+1) {
			port++
		}
		part := strconv.Itoa(first)
		if port > first {
			part += "-" + strconv.Itoa(port)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func (s *portSet) has(port int) bool { return s[port/64]&(1<<(port%64)) != 0 }

// add adds the ports from first to last.
func (s *portSet) add(first, last uint16) {
	for port := int(first); port <= int(last); port++ {
		s[port/64] |= 1 << (port % 64)
	}
}

// union returns the ports that are in either.
func (s *portSet) union(other *portSet) portSet {
	u := *s
	for i := range u {
		u[i] |= other[i]
	}
	return u
}

// without returns the ports that are not in the other.
func (s *portSet) without(other *portSet) portSet {
	u := *s
	for i := range u {
		u[i] &^= other[i]
	}
	return u
}
