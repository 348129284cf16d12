// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/test/lab"
)

// The page shows that packets flow, and how many in the end.
func TestPageShowsTraffic(t *testing.T) {
	s := newScene(t)
	stop := s.trade(t)
	b := s.look(t, desktop)
	b.unfold("80/tcp")
	first := b.packets()
	b.until(`%s > %d`, packetsIn, first+100)
	b.until(`Number(document.querySelector("#overview .in .more").textContent.split(" ")[0]) > 0`)
	b.until(`%s[2] !== "0" && %s[3] !== "0"`, cellsOf("80/tcp"), cellsOf("80/tcp"))
	b.until(`%s[8] !== "0"`, cellsOf("6379/tcp"))
	// Somebody who does not see the line is told of it.
	b.until(`%s.querySelector("svg").ariaLabel.match(/^packets\/s in two minutes: now [0-9.]+k?, at most [1-9]/) !== null`, rowOf("80/tcp"))
	b.until(`%s.querySelector(".line").getAttribute("d").split("L").length > 3`, rowOf("80/tcp"))
	b.until(`document.title === "gateway: 9 forwards – xfwd"`)

	stop()
	c := s.xfwd.Counters("80")
	b.until(`document.querySelector(".facts dd:not(:empty)") !== null && document.querySelector(".detail").innerText.includes(%q)`,
		fmt.Sprintf("%s packets, %s bytes", thousands(c.Forward.Packets), thousands(c.Forward.Bytes)))
	b.until(`%s[2] === "0"`, cellsOf("80/tcp"))
}

// What the page asks for is what commands show.
func TestStateIsWhatCommandsShow(t *testing.T) {
	s := newScene(t)
	stop := s.trade(t)
	time.Sleep(2 * time.Second)
	stop()
	var state struct {
		lab.Status
		Time     time.Time     `json:"time"`
		Host     string        `json:"host"`
		Forwards []lab.Forward `json:"forwards"`
	}
	var status lab.Status
	var forwards []lab.Forward
	// Connections end by and by.
	lab.Eventually(t, patience, func() error {
		state.Forwards, state.Hooks = nil, nil
		decode(t, s.serving, "/api/v1/state", &state)
		decode(t, s.serving, "/api/v1/status", &status)
		forwards = s.xfwd.List()
		if diff := cmp.Diff(forwards, state.Forwards); diff != "" {
			time.Sleep(time.Second)
			return fmt.Errorf("forwards (-list +state):\n%s", diff)
		}
		return nil
	})
	if !slices.ContainsFunc(forwards, func(f lab.Forward) bool { return f.Counters.Forward.Packets > 100 }) {
		t.Errorf("there was no traffic: %v", forwards)
	}
	want := s.xfwd.Status()
	if status.Loaded != true || status.Version != want.Version || status.Kernel != want.Kernel || status.Pins != want.Pins {
		t.Errorf("status is %+v, and the command says %+v", status, want)
	}
	for name, hooks := range map[string][]lab.Hook{"state": state.Hooks, "status": status.Hooks} {
		if diff := cmp.Diff(want.Hooks, hooks); diff != "" {
			t.Errorf("hooks (-command +%s):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(want.Drops, state.Drops); diff != "" || want.Drops["no-backend"] == 0 {
		t.Errorf("drops (-command +state):\n%s", diff)
	}
	if state.Host != hostName || state.Version != want.Version || !state.Loaded || time.Since(state.Time).Abs() > time.Minute {
		t.Errorf("state is of %v, %q, version %q, loaded: %v", state.Time, state.Host, state.Version, state.Loaded)
	}
}

func decode(t *testing.T, web *lab.Serving, path string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(web.MustGet(path).Body), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Warnings of status are on the page, and go with what they are about.
func TestPageWarns(t *testing.T) {
	s := newScene(t)
	b := s.look(t, desktop)
	b.until(`document.querySelector("#warnings").hidden`)
	s.xfwd.Add("7777", s.Servers[0].Addr.V4.String()+":8080", "--device", "eth7")
	warnings := s.xfwd.Status().Warnings
	if len(warnings) != 1 || !strings.Contains(warnings[0], "eth7") {
		t.Fatalf("the command warns of %q", warnings)
	}
	b.until(`document.querySelector("#warnings li")?.textContent === %q`, warnings[0])
	b.until(`document.title === "(1 warning) gateway – xfwd"`)
	b.until(`%s !== undefined`, rowOf("7777/tcp on eth7"))
	s.xfwd.Do("del", "7777")
	b.until(`document.querySelector("#warnings").hidden && %s === undefined`, rowOf("7777/tcp on eth7"))
	for _, hook := range s.xfwd.Status().Hooks {
		device := hook.Device
		if device == "" {
			device = "own connections"
		}
		b.until(`[...document.querySelector("#hooks").rows].some((row) => [...row.cells].map((cell) => cell.textContent).join("|") === %q)`,
			strings.Join([]string{device, hook.Hook, hook.Mode, hook.Why}, "|"))
	}
}

// rowOf is the row of a forward, in JavaScript.
func rowOf(frontend string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#forwards-table > tbody")].find((body) => body.querySelector(".unfold").textContent === %q)`, frontend)
}

// cellsOf are the texts of its cells behind the frontend.
func cellsOf(frontend string) string {
	return fmt.Sprintf(`[...%s.rows[0].querySelectorAll("td")].map((cell) => cell.textContent)`, rowOf(frontend))
}

// unfold unfolds a forward, which becomes the only one.
func (b *browser) unfold(frontend string) {
	b.t.Helper()
	b.until(`%s !== undefined`, rowOf(frontend))
	value[bool](b, `(%s.querySelector(".unfold").click(), true)`, rowOf(frontend))
	b.until(`document.querySelectorAll(".detail").length === 1 && document.querySelector(".detail dd:not(:empty)") !== null`)
}

// packetsIn are those that have come to the forward that is unfolded.
const packetsIn = `Number([...document.querySelectorAll(".detail dt")].find((dt) => dt.textContent === "In").nextElementSibling.textContent.split(" ")[0].replaceAll(",", ""))`

func (b *browser) packets() int {
	b.t.Helper()
	return value[int](b, packetsIn)
}

// thousands writes a number as the page does in full.
func thousands(n uint64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
