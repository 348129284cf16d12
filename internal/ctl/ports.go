// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Len returns the number of ports in the range.
func (r PortRange) Len() int {
	return int(r.Last) - int(r.First) + 1
}

// Single reports whether the range is one port.
func (r PortRange) Single() bool {
	return r.First == r.Last
}

// Overlaps reports whether a port is in both ranges.
func (r PortRange) Overlaps(o PortRange) bool {
	return r.First <= o.Last && o.First <= r.Last
}

// Compare orders ranges by their first port, then by their last.
func (r PortRange) Compare(o PortRange) int {
	return cmp.Or(cmp.Compare(r.First, o.First), cmp.Compare(r.Last, o.Last))
}

// String returns the range as users write it: 80 or 9000-9005.
func (r PortRange) String() string {
	first := strconv.Itoa(int(r.First))
	if r.Single() {
		return first
	}
	return first + "-" + strconv.Itoa(int(r.Last))
}

// parsePorts parses PORT[-PORT].
func parsePorts(s string) (PortRange, error) {
	head, tail, isRange := strings.Cut(s, "-")
	first, err := parsePort(head)
	if err != nil || !isRange {
		return PortRange{first, first}, err
	}
	last, err := parsePort(tail)
	if err != nil {
		return PortRange{}, err
	}
	if last < first {
		return PortRange{}, Errorf(ErrSyntax, "the range runs backwards; write %d-%d", last, first)
	}
	return PortRange{first, last}, nil
}

// parsePort accepts what strconv.Itoa prints for a port, and nothing else: no
// sign, no leading zero, no other base.
func parsePort(s string) (uint16, error) {
	if s == "" {
		return 0, Errorf(ErrSyntax, "the port is missing; write a number from 1 to 65535")
	}
	if strings.Trim(s, "0123456789") != "" {
		return 0, Errorf(ErrSyntax, "port %q is not a number; write 1 to 65535", s)
	}
	if digits := strings.TrimLeft(s, "0"); digits != s && digits != "" {
		return 0, Errorf(ErrSyntax, "port %q has a leading zero; write %s", s, digits)
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, Errorf(ErrSyntax, "there is no port %s; ports are 1 to 65535", s)
	}
	return uint16(n), nil
}

// mostPortsTold is how many ports of a range are worth reading.
const mostPortsTold = 4

// portList lists ports for people, in their order: port 22; ports 22 and 80; ports 22,
// 25, 53, 80 and 3 more.
func portList(ports []uint16) string {
	words := make([]string, 0, mostPortsTold)
	for _, p := range ports[:min(len(ports), mostPortsTold)] {
		words = append(words, strconv.Itoa(int(p)))
	}
	last := len(words) - 1
	switch more := len(ports) - len(words); {
	case more > 0:
		return fmt.Sprintf("ports %s and %d more", strings.Join(words, ", "), more)
	case last == 0:
		return "port " + words[0]
	default:
		return "ports " + strings.Join(words[:last], ", ") + " and " + words[last]
	}
}
