// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// axe is the checker of hack/setup.sh.
const axe = "../../.tools/axe-core/axe.min.js"

// On each screen the page fits its width, and axe-core finds nothing that would keep
// somebody out: not with everything unfolded, nor with warnings, nor with
// everything down, nor without an answer.
func TestPageIsAccessible(t *testing.T) {
	s := newScene(t)
	s.trade(t)
	s.xfwd.Add("[2001:db8:1234:5678:9abc:def0:1234:5678]:7777-7799/udp", "["+s.Servers[0].Addr.V6.String()+"]:8080",
		"--device", "eth7", "--name", "a-long-name-of-a-forward-that-goes-on", "--comment", strings.Repeat("word", 50))
	b := s.look(t, desktop)
	b.takeAxe()
	b.until(`!document.querySelector("#warnings").hidden`)
	b.until(`document.querySelectorAll("#forwards-table > tbody").length === 10`)
	b.alter(`(state) => state.forwards.forEach((forward) => {
		forward.check = {kind: "http", path: "/health" + "y".repeat(50), port: 65535, intervalSeconds: 3600, timeoutSeconds: 3600, rise: 255, fall: 255};
		forward.expiresAt = new Date(Date.parse(state.time) + 1e9).toISOString();
		forward.backends.forEach((backend) => backend.health = "down");
	})`)
	b.until(`document.querySelectorAll(".mark:not(:empty)").length === 9`)
	value[bool](b, `(document.querySelectorAll(".unfold").forEach((button) => button.click()), true)`)
	b.until(`document.querySelectorAll(".detail").length === 10`)
	check := func(t *testing.T, at screen) {
		b.resize(at)
		b.until(`innerWidth === %d`, at.width)
		wide := value[string](b, `[...document.querySelectorAll("body, body *")]
			.filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest(".scroll, .unseen, thead tr"))
			.map((e) => e.outerHTML.slice(0, 80)).join("\n")`)
		if overflow := value[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); overflow > 0 || wide != "" {
			t.Errorf("the page is %d pixels too wide:\n%s", overflow, wide)
		}
		for _, v := range b.violations() {
			t.Error(v)
		}
	}
	for _, at := range []screen{desktop, desktop.dark(), {768, 1024, "light"}, {1180, 800, "dark"}, phone, phone.dark()} {
		t.Run(fmt.Sprintf("%dx%d %s", at.width, at.height, at.scheme), func(t *testing.T) { check(t, at) })
	}
	b.ignoreNoAnswer(true)
	s.serving.Kill()
	b.until(`document.querySelector("#badge").dataset.state === "silent"`)
	for _, at := range []screen{desktop, phone.dark()} {
		t.Run("no answer "+at.scheme, func(t *testing.T) { check(t, at) })
	}
}

// takeAxe gives the page the checker.
func (b *browser) takeAxe() {
	b.t.Helper()
	checker, err := os.ReadFile(axe)
	if err != nil {
		b.t.Fatalf("this test needs axe-core: %v", err)
	}
	value[bool](b, `%s; typeof axe.run === "function"`, checker)
}

// violations are what axe-core has found, one line each.
func (b *browser) violations() []string {
	b.t.Helper()
	return value[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then((results) =>
		results.violations.flatMap((v) => v.nodes.map((node) => v.id + ": " + node.html.slice(0, 150) + ": " + node.failureSummary)))`)
}
