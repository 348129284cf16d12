// SPDX-License-Identifier: Apache-2.0

package top

import (
	"strings"
	"testing"

	"github.com/gdamore/tcell/v2"
)

// What is drawn replaces what was there, and without colours has none.
func TestDraw(t *testing.T) {
	screen := tcell.NewSimulationScreen("UTF-8")
	if err := screen.Init(); err != nil {
		t.Fatal(err)
	}
	defer screen.Fini()
	screen.SetSize(80, 24)
	lines := []Line{{"first", Strong}, {"second is longer", Alert}, {"third", Selected}, {"fourth", Title}, {"fifth", Weak}}
	for _, colourless := range []bool{false, true} {
		d := &display{screen, colourless}
		d.show(append(lines, Line{"one more", Plain}))
		d.show(lines)
		cells, width, _ := screen.GetContents()
		var b strings.Builder
		colours := 0
		for i, cell := range cells {
			if i%width == 0 {
				b.WriteString("\n")
			}
			b.WriteString(string(cell.Runes))
			if foreground, background, _ := cell.Style.Decompose(); foreground != tcell.ColorDefault || background != tcell.ColorDefault {
				colours++
			}
		}
		got := b.String()
		for _, line := range lines {
			if !strings.Contains(got, "\n"+line.Text+"  ") {
				t.Errorf("%q is not shown:\n%s", line.Text, got)
			}
		}
		if strings.Contains(got, "one more") {
			t.Error("what was drawn before is still there")
		}
		if (colours > 0) == colourless {
			t.Errorf("without colours: %v, but %d cells have one", colourless, colours)
		}
	}
}

func TestKeyNames(t *testing.T) {
	for want, e := range map[string]*tcell.EventKey{
		"q":         tcell.NewEventKey(tcell.KeyRune, 'q', tcell.ModNone),
		"世":         tcell.NewEventKey(tcell.KeyRune, '世', tcell.ModNone),
		" ":         tcell.NewEventKey(tcell.KeyRune, ' ', tcell.ModNone),
		"enter":     tcell.NewEventKey(tcell.KeyEnter, 0, tcell.ModNone),
		"backspace": tcell.NewEventKey(tcell.KeyBackspace2, 0, tcell.ModNone),
		"ctrl+c":    tcell.NewEventKey(tcell.KeyCtrlC, 0, tcell.ModCtrl),
		"":          tcell.NewEventKey(tcell.KeyF1, 0, tcell.ModNone),
	} {
		if got := keyName(e); got != want {
			t.Errorf("%s is %q, want %q", e.Name(), got, want)
		}
	}
}
