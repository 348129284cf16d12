// SPDX-License-Identifier: Apache-2.0

package page

import (
	"testing"
	"time"
)

// The page says when nobody answers and when there is no dataplane, keeps what it
// has shown, and goes on by itself afterwards.
func TestPageOutlivesTheServer(t *testing.T) {
	s := newScene(t)
	s.trade(t)
	b := s.look(t, desktop)
	b.unfold("80/tcp")
	value[bool](b, `(window.sameRow = %s, window.heard = [], new MutationObserver(() => heard.push(document.querySelector("#state").textContent)).observe(document.querySelector("#state"), {childList: true, characterData: true, subtree: true}), true)`, rowOf("80/tcp"))
	for range 2 {
		before := b.packets()
		b.ignoreNoAnswer(true)
		s.serving.Kill()
		b.until(`document.title === "(no answer) gateway – xfwd" && document.querySelector("#state").innerText.startsWith("xfwd serve does not answer.")`)
		if now := b.packets(); now < before {
			t.Errorf("when nobody answers, %d packets have become %d", before, now)
		}
		asked := b.asked("api/v1/state")
		time.Sleep(10 * time.Second)
		if again := b.asked("api/v1/state") - asked; again < 2 || again > 6 {
			t.Errorf("in ten seconds without an answer it has asked %d times", again)
		}
		s.serve()
		b.until(`document.querySelector("#badge").textContent === "loaded" && document.querySelector("#state").textContent === ""`)
		b.ignoreNoAnswer(false)
		b.until(`%s > %d`, packetsIn, before)
	}
	// What changes is read out, and nothing is again that has not changed.
	if heard := value[[]string](b, `heard`); len(heard) != 4 {
		t.Errorf("what was to be heard: %q", heard)
	}
	if !value[bool](b, `window.sameRow === %s && document.querySelectorAll(".detail").length === 1`, rowOf("80/tcp")) {
		t.Error("the row is another one, or has been folded up")
	}
	b.ignoreNoAnswer(true)
	s.xfwd.Do("unload")
	b.until(`document.title === "(not loaded) gateway – xfwd" && document.querySelector("#state").textContent.startsWith("The dataplane is not loaded")`)
	b.until(`document.querySelector("#shown").textContent === "0 forwards"`)
	s.xfwd.Add("80", "30080")
	b.until(`document.title === "gateway: 1 forward – xfwd"`)
}

// Nobody is asked while nobody looks, and at once when somebody does again.
func TestPageRestsWhenHidden(t *testing.T) {
	s := newScene(t)
	b := s.look(t, desktop)
	hide := func(hidden bool) {
		value[bool](b, `(Object.defineProperty(document, "hidden", {value: %v, configurable: true}), document.dispatchEvent(new Event("visibilitychange")))`, hidden)
	}
	hide(true)
	time.Sleep(3 * time.Second) // for what is on its way
	before := b.asked("api/v1/state")
	time.Sleep(6 * time.Second)
	if asked := b.asked("api/v1/state"); asked != before {
		t.Errorf("it has asked %d times while nobody looked", asked-before)
	}
	hide(false)
	b.until(`document.querySelector("#badge").dataset.state === "loaded"`)
	b.awaitQuestions(before + 3)
}
