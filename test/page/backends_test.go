// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// The inside of a forward shows what each of its backends carries at the moment, and how
// long they take to accept connections.
func TestPageShowsBackends(t *testing.T) {
	s := newScene(t)
	stop := s.trade(t)
	b := s.look(t, desktop)
	b.unfold("443/tcp")
	server := func(i int) string { return s.Servers[i].Addr.V4.String() + ":8080" }
	b.until(`(() => {
		const [one, other, drained] = [%s, %s, %s];
		const traffic = [4, 5, 6, 7, 8];
		return one[1] === "active" && other[1] === "active" && drained[1] === "drained" &&
			traffic.every((i) => one[i] !== "0" && other[i] !== "0" && drained[i] === "0") &&
			Number(one[9]) > 0 && drained[9] === "0" && drained[3] === "0 %%" &&
			Math.abs(parseInt(one[3]) + parseInt(other[3]) - 100) <= 1;
	})()`, backendCells(server(0)), backendCells(server(1)), backendCells(server(2)))
	// Together they carry what the forward does.
	b.until(`(() => {
		const all = %s;
		const sum = [%s, %s].reduce((sum, cells) => sum + Number(cells[4]), 0);
		return sum > 20 && Math.abs(sum - Number(all[2])) <= 2;
	})()`, cellsOf("443/tcp"), backendCells(server(0)), backendCells(server(1)))

	s.xfwd.Do("backend", "drain", "443/tcp", server(1))
	b.until(`(() => {
		const [one, other] = [%s, %s];
		return other[1] === "drained" && other[3] === "0 %%" && other[4] === "0" && one[3] === "100 %%";
	})()`, backendCells(server(0)), backendCells(server(1)))

	stop()
	b.until(`%s[3] === "–" && %s[4] === "0"`, backendCells(server(0)), backendCells(server(0)))
	accepted := regexp.MustCompile(`half of them (within [^\n]*)`).FindStringSubmatch(s.xfwd.Do("show", "443/tcp").Stdout)
	if accepted == nil {
		t.Fatal("the command does not know how long connections took to be accepted")
	}
	want := "half " + regexp.MustCompile(`([0-9.]+)(µs|ms|s)\b`).ReplaceAllString(accepted[1], "$1 $2")
	b.until(`%s === %q`, fact("Accepted"), want)
	b.unfoldOnly("53/udp")
	b.until(`%s === "not measured"`, fact("Accepted"))
}

// What is down is said to be, in words: of the backend, of its forward, and of how many
// forwards there are. One that nobody shall come to is no trouble.
func TestPageSaysWhatIsDown(t *testing.T) {
	s := newScene(t)
	b := s.look(t, desktop)
	b.unfold("443/tcp")
	b.until(`%s === "none" && %s === "never"`, fact("Check"), fact("Expires"))
	if value[bool](b, `%s`, anythingDown) {
		t.Error("something is down before anything is")
	}
	b.alter(`(state) => {
		const of = (port, protocol) => state.forwards.find((f) => f.frontend.port === port && f.frontend.protocol === protocol);
		const [shop, web, cache] = [of(443, "tcp"), of(80, "tcp"), of(6379, "tcp")];
		shop.check = {kind: "http", path: "/health", port: 8081, intervalSeconds: 2, timeoutSeconds: 0.5, rise: 2, fall: 3};
		shop.expiresAt = new Date(Date.parse(state.time) + 3_590_000).toISOString();
		["down", "up", "down"].forEach((health, i) => shop.backends[i].health = health);
		web.backends[0].health = cache.backends[0].health = "down";
	}`)
	b.until(`%s === "1 of 2 down" && %s === "down" && %s === "" && %s === ""`, mark("443/tcp"), mark("80/tcp"), mark("6379/tcp"), mark("443/udp"))
	b.until(`document.querySelector("#failing").innerText === "2 with backends that are down"`)
	for i, state := range []string{"down", "active", "drained, down"} {
		b.until(`%s[1] === %q`, backendCells(s.Servers[i].Addr.V4.String()+":8080"), state)
	}
	b.until(`%s === "http /health at port 8081 every 2s, timeout 0.5s, rise 2, fall 3"`, fact("Check"))
	b.until(`%s.match(/^in 59 min, at 20[0-9-]+T[0-9:]+Z$/) !== null`, fact("Expires"))
	value[bool](b, `(document.querySelector("#filter").focus(), true)`)
	b.press("down")
	b.until(`%s.join() === "80/tcp,443/tcp"`, shownRows)

	b.alter(`(state) => state.forwards.forEach((forward) => {
		forward.expiresAt = state.time;
		forward.backends.forEach((backend) => { backend.health = "up"; delete backend.counters; });
	})`)
	b.until(`%s.length === 0`, shownRows)
	b.press(strings.Repeat(kb.Backspace, len("down")))
	b.until(`%s.length === 9 && !%s`, shownRows, anythingDown)
	b.until(`%s.startsWith("now, at ") && %s[1] === "active"`, fact("Expires"), backendCells(s.Servers[0].Addr.V4.String()+":8080"))
}

// What checks find out is on the page by itself, and so is when a forward ends.
func TestPageShowsChecks(t *testing.T) {
	s := newScene(t)
	const place, port = "85/tcp", 30085
	s.xfwd.Add("85", fmt.Sprint(port), "--check", "tcp,interval=200ms,fall=2,rise=1", "--expires", "1h")
	b := s.look(t, desktop)
	b.unfold(place)
	b.until(`%s === "down" && %s[1] === "down"`, mark(place), backendCells(fmt.Sprintf("this host:%d", port)))
	b.until(`%s.match(/^in (59|60) min, at /) !== null && %s.startsWith("tcp ")`, fact("Expires"), fact("Check"))
	s.Host.Echo("tcp", fmt.Sprintf(":%d", port))
	b.until(`%s === "" && %s[1] === "active"`, mark(place), backendCells(fmt.Sprintf("this host:%d", port)))
}

// anythingDown tells whether the page says so of anything, in JavaScript.
const anythingDown = `[...document.querySelectorAll("#failing, .mark, .state")].some((e) => e.textContent.includes("down"))`

// mark is what is said of a forward beside its frontend.
func mark(frontend string) string {
	return fmt.Sprintf(`%s.querySelector(".mark").textContent`, rowOf(frontend))
}

// backendCells are the texts of the row of a backend, of the forward that is unfolded.
func backendCells(backend string) string {
	return fmt.Sprintf(`([...([...document.querySelectorAll(".backends tbody tr")].find((row) => row.cells[0].textContent === %q)?.cells ?? [])].map((cell) => cell.textContent))`, backend)
}

// fact is the text of a fact of the forward that is unfolded.
func fact(name string) string {
	return fmt.Sprintf(`([...document.querySelectorAll(".detail dt")].find((dt) => dt.textContent === %q)?.nextElementSibling.textContent ?? "")`, name)
}

// unfoldOnly unfolds a forward in place of the one that is.
func (b *browser) unfoldOnly(frontend string) {
	b.t.Helper()
	value[bool](b, `(document.querySelector('.unfold[aria-expanded="true"]').click(), true)`)
	b.unfold(frontend)
}
