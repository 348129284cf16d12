// SPDX-License-Identifier: Apache-2.0

package figures

import (
	"encoding/json"
	"testing"
)

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

// JSON says the same as before, without a control character.
func TestPrintableJSON(t *testing.T) {
	want := "e\x1b[2J\u009b\u202e\x7f\U000e0001ü \n"
	text, err := json.Marshal(map[string]string{"device": want})
	if err != nil {
		t.Fatal(err)
	}
	text = PrintableJSON(text)
	var got map[string]string
	if err := json.Unmarshal(text, &got); err != nil || got["device"] != want {
		t.Errorf("%s is %q (%v), want %q", text, got["device"], err, want)
	}
	if Printable(string(text)) != string(text) {
		t.Errorf("%q has unprintable characters", text)
	}
}
