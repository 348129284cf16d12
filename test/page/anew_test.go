// SPDX-License-Identifier: Apache-2.0

package page

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/xfwd/xfwd/test/lab"
)

// When the server has become another version the page loads itself anew, once, and
// somebody who looks at something goes on to see it.
func TestPageIsLoadedAnew(t *testing.T) {
	const other = "v999.0.0"
	s := newScene(t)
	s.trade(t)
	program := filepath.Join(t.TempDir(), "xfwd")
	if err := lab.Build(program, "-ldflags", "-X main.version="+other); err != nil {
		t.Fatal(err)
	}
	b := s.look(t, screen{1360, 500, "light"})
	version := value[string](b, shownVersion)
	b.unfold("443/udp")
	value[bool](b, `(document.querySelector("#sort-drops").click(), document.querySelector("#filter").focus(), true)`)
	b.press("shop")
	b.until(`%s.length === 2`, shownRows)
	value[bool](b, `(scrollTo(0, 300), true)`)
	b.until(`scrollY === 300`)

	// update has another version serve, and waits until it has answered a page that was
	// loaded anew so many times.
	update := func(program string, times int) {
		t.Helper()
		loaded := b.asked("")
		b.ignoreNoAnswer(true)
		s.serving.Kill()
		s.program = program
		s.serve()
		b.awaitQuestions(b.asked("api/v1/state") + 4)
		b.until(`document.querySelector("#badge").textContent === "loaded"`)
		b.ignoreNoAnswer(false)
		if again := b.asked("") - loaded; again != times {
			t.Fatalf("it was loaded anew %d times", again)
		}
	}
	// mustStay waits for several answers.
	mustStay := func(version string) {
		t.Helper()
		b.until(`%s === %q`, shownVersion, version)
		loaded := b.asked("")
		b.awaitQuestions(b.asked("api/v1/state") + 4)
		if again := b.asked("") - loaded; again > 0 {
			t.Fatalf("it was loaded anew %d times", again)
		}
	}
	update(program, 1)
	b.until(`%s.join() === "443/udp,443/tcp" || %s.join() === "443/tcp,443/udp"`, shownRows, shownRows)
	b.until(`document.querySelector("[aria-sort=descending]").textContent === "Drops/s"`)
	b.until(`document.activeElement.id === "filter" && document.activeElement.value === "shop"`)
	b.until(`document.querySelectorAll(".detail").length === 1 && document.querySelector(".detail").innerText.includes("the shop's containers")`)
	b.until(`Math.abs(scrollY - 300) < 30`)
	mustStay(other)

	// Whoever loads the page anew begins anew.
	must(b, chromedp.Reload())
	b.until(`document.querySelector("#badge").textContent === "loaded" && %s.length === 9`, shownRows)

	// Servers that take turns do not have it loaded again and again.
	update("", 0)
	mustStay(version)
	const later = `sessionStorage.setItem("anew", sessionStorage.getItem("anew").replace(/"at":[0-9]+/, '"at":0'))`
	value[bool](b, `(%s, true)`, later)
	loaded := b.asked("")
	lab.Eventually(t, patience, func() error {
		if b.asked("") == loaded {
			return errors.New("it is not loaded anew")
		}
		return nil
	})
	b.awaitQuestions(b.asked("api/v1/state") + 2)
	// Nor does a cache that has an old page.
	value[bool](b, `(document.querySelector("meta[name=version]").content = "v0.0.1", %s, true)`, later)
	mustStay(version)
}

// shownVersion is the version that the page shows, in JavaScript.
const shownVersion = `document.querySelector("#version").textContent`
