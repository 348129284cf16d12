// SPDX-License-Identifier: Apache-2.0

package figures

import "testing"

func TestPrintable(t *testing.T) {
	for _, test := range [][2]string{
		{"eth0", "eth0"},
		{"", ""},
		{"größe is 5 %", "größe is 5 %"},
		{"e\x1b[2Jth", `e\x1b[2Jth`},
		{"a\x7f\x00\n", `a\x7f\x00\x0a`},
		{"a\xff\xc3", `a\xff\xc3`},
		{"a\u009b\u202eb", `a\u009b\u202eb`},
		{"�", `\ufffd`},
	} {
		if got := Printable(test[0]); got != test[1] {
			t.Errorf("%q: %q, want %q", test[0], got, test[1])
		}
	}
}
