// SPDX-License-Identifier: Apache-2.0

package job

import "testing"

func TestSplitStatus(t *testing.T) {
	for _, test := range []struct {
		name, said, output string
		status             int
		ok                 bool
	}{
		{"passed", "PASS\n" + StatusLine(0), "PASS\n", 0, true},
		{"killed", "no newline" + StatusLine(137), "no newline", 137, true},
		{"nothing", StatusLine(1), "", 1, true},
		{"the machine crashed", "=== RUN", "=== RUN", 0, false},
		{"a test talks of it", StatusLine(0) + "more\n", StatusLine(0) + "more\n", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, status, ok := SplitStatus([]byte(test.said))
			if string(output) != test.output || status != test.status || ok != test.ok {
				t.Errorf("got %q, %d, %v", output, status, ok)
			}
		})
	}
}
