// SPDX-License-Identifier: Apache-2.0

package page

import "testing"

// A hook that has lost its program is said to be missing, in a word and not by a
// colour alone, until a command has attached it again.
func TestPageMarksMissingHooks(t *testing.T) {
	s := newScene(t)
	// Otherwise it would be attached again at once.
	s.serving.Kill()
	s.serve("--read-only")
	b := s.look(t, desktop)
	b.until(`document.querySelector("#hooks").rows.length > 0 && %s.length === 0`, missingHooks)
	s.xfwd.TearOff("eth0", "ingress")
	b.until(`%s.map((row) => row.cells[0].textContent + " " + row.cells[1].textContent).join() === "eth0 ingress"`, missingHooks)
	b.until(`document.querySelector("#warnings").innerText.includes("nothing is attached to ingress of eth0")`)
	if value[bool](b, `getComputedStyle(%s[0].cells[2]).color === getComputedStyle(%s[0].cells[3]).color`, missingHooks, missingHooks) {
		t.Error("the word has the colour of others")
	}
	b.takeAxe()
	for _, at := range []screen{desktop, desktop.dark(), phone, phone.dark()} {
		b.resize(at)
		b.until(`innerWidth === %d`, at.width)
		for _, v := range b.violations() {
			t.Errorf("%d pixels, %s: %s", at.width, at.scheme, v)
		}
	}
	s.xfwd.Add("80", "30080", "--name", "web")
	b.until(`%s.length === 0`, missingHooks)
}

// missingHooks are the rows of hooks that the page says are missing, in JavaScript.
const missingHooks = `[...document.querySelector("#hooks").rows].filter((row) => row.cells[2].textContent === "missing")`
