// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"slices"
)

// mostMessages is how many lines about one command anybody reads.
const mostMessages = 10

// messages collects different lines for people.
type messages struct {
	first []string
	more  int
}

func (m *messages) add(format string, a ...any) {
	line := fmt.Sprintf(format, a...)
	switch {
	case slices.Contains(m.first, line):
	case m.full():
		m.more++
	default:
		m.first = append(m.first, line)
	}
}

func (m *messages) full() bool { return len(m.first) == mostMessages }

// most returns the first lines, and how many more of what there would be.
func (m *messages) most(what string) []string {
	if m.more == 0 {
		return m.first
	}
	return append(m.first, fmt.Sprintf("and so on, for %d more %s", m.more, what))
}
