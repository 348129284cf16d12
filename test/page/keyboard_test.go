// SPDX-License-Identifier: Apache-2.0

package page

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// Everything can be done without a pointer: skip to the forwards, filter, sort, and
// unfold one.
func TestPageByKeyboard(t *testing.T) {
	s := newScene(t)
	s.trade(t)
	b := s.look(t, desktop)
	b.until(`%s.length === 9`, shownRows)
	b.press(kb.Tab)
	if focused := b.focused(); focused != "Skip to the forwards" {
		t.Errorf("the first that gets the focus is %q", focused)
	}
	b.press(kb.Enter)
	b.until(`document.activeElement.id === "forwards"`)
	b.press(kb.Tab)
	b.until(`document.activeElement.id === "filter"`)
	b.press("SHOP 443/u")
	b.until(`%s.join() === "443/udp" && document.querySelector("#shown").textContent === "1 of 9 forwards"`, shownRows)
	b.press(strings.Repeat(kb.Backspace, len(" 443/u")))
	b.until(`%s.join() === "443/tcp,443/udp"`, shownRows)
	b.press("zebra")
	b.until(`%s.length === 0 && !document.querySelector("#none").hidden`, shownRows)
	b.press(strings.Repeat(kb.Backspace, len("shopzebra")))
	b.until(`%s.length === 9`, shownRows)

	b.tabTo("Drops/s")
	b.until(`document.activeElement.closest("th").ariaSort === null`)
	b.press(kb.Enter)
	b.until(`document.activeElement.closest("th").ariaSort === "descending"`)
	b.until(`%s[0] === "6379/tcp"`, shownRows)
	b.press(kb.Enter)
	b.until(`document.activeElement.closest("th").ariaSort === "ascending" && %s[8] === "6379/tcp"`, shownRows)
	if sorted := value[int](b, `document.querySelectorAll("[aria-sort]").length`); sorted != 1 {
		t.Errorf("the table is sorted by %d columns", sorted)
	}

	b.tabTo("443/udp")
	b.press(" ")
	b.until(`document.activeElement.ariaExpanded === "true"`)
	detail := `document.getElementById(document.activeElement.getAttribute("aria-controls"))`
	b.until(`%s.innerText.includes("the shop's containers")`, detail)
	want := s.Servers[0].Addr.V4.String() + ":8080 active 1"
	b.until(`[...%s.querySelectorAll("tr")].some((row) => [...row.cells].map((c) => c.textContent).join(" ").startsWith(%q))`, detail, want)
	b.until(`%s.innerText.match(/draining|drained/) !== null`, detail)
	b.press(kb.Enter)
	b.until(`document.activeElement.ariaExpanded === "false" && document.querySelector(".detail") === null`)
}

// shownRows are the frontends that the table shows, from top to bottom.
const shownRows = `[...document.querySelectorAll("#forwards-table > tbody:not([hidden]) .unfold")].map((button) => button.textContent)`

// focused is the text of what has the focus.
func (b *browser) focused() string {
	b.t.Helper()
	return value[string](b, `document.activeElement.textContent.trim()`)
}

// tabTo goes on until what has this text has the focus, and can be seen to have it.
func (b *browser) tabTo(text string) {
	b.t.Helper()
	for range 60 {
		b.press(kb.Tab)
		if b.focused() != text {
			continue
		}
		if outline := value[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
			b.t.Errorf("nobody sees that %q has the focus", text)
		}
		return
	}
	b.t.Fatalf("no number of tabs leads to %q", text)
}
