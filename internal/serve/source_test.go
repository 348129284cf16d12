// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"testing"
)

// What is wrong is told once, though readers of other parts find nothing wrong.
func TestFailureIsToldOnce(t *testing.T) {
	t.Parallel()
	const told, ended = "warning: the dataplane cannot be read: no pin\n", "note: the dataplane can be read again\n"
	damage := errors.New("no pin")
	var log output
	s := &source{log: &log}
	said := ""
	for _, step := range []struct {
		by   reader
		err  error
		says string
	}{
		{ofNextHops, nil, ""},
		{ofAll, damage, told},
		{ofNextHops, nil, ""},
		{ofSweep, damage, ""},
		{ofSweep, nil, ""},
		{ofAll, damage, ""},
		{ofAll, nil, ended},
		{ofAll, nil, ""},
		{ofSweep, damage, told},
		{ofNextHops, nil, ""},
		{ofSweep, nil, ended},
		{ofSweep, damage, told},
		{ofAll, damage, ""},
		{ofSweep, nil, ""},
		{ofAll, nil, ended},
	} {
		s.note(step.by, step.err)
		said += step.says
		if got := log.String(); got != said {
			t.Fatalf("after %+v it has said:\n%swant:\n%s", step, got, said)
		}
	}
}
