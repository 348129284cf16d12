// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"os"
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	loaded(t, func(_ *Session, d *Dataplane) {
		n := d.notes()
		if _, found, err := n.read("a"); found || err != nil {
			t.Errorf("a note that nobody wrote: %t, %v", found, err)
		}
		// Also of one that was killed in between.
		if err := os.Symlink("half", string(n)+"/new-a"); err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("why, /and. ", 300)
		for _, text := range []string{"one", long, long, "two"} {
			if err := n.write("a", text); err != nil {
				t.Fatal(err)
			}
			if got, found, err := n.read("a"); got != text || !found || err != nil {
				t.Errorf("wrote %q, read %q, %t, %v", text, got, found, err)
			}
		}
		for range 2 {
			if err := n.remove("a"); err != nil {
				t.Error(err)
			}
		}
		if _, found, _ := n.read("a"); found {
			t.Error("the note is still there")
		}
	})
}
