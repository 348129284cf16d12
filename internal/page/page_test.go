// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xfwd/xfwd/internal/ctl"
)

// server answers what options say.
func server(t *testing.T, o Options) func(path string, header ...string) *http.Response {
	t.Helper()
	h, err := Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	return func(path string, header ...string) *http.Response {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// measured is a dataplane with one forward and nothing else.
var measured = Options{
	Version: "v1",
	Measure: func(context.Context) (ctl.Measurement, error) {
		frontends, err := ctl.ParseFrontend("80")
		return ctl.Measurement{Loaded: true, Forwards: []ctl.ForwardCounters{{Forward: ctl.Forward{Frontend: frontends[0]}}}}, err
	},
	Status: func(context.Context) (ctl.Status, error) {
		return ctl.Status{Loaded: true, Warnings: []string{"a warning"}}, nil
	},
}

func TestHeaders(t *testing.T) {
	get := server(t, measured)
	for path, kind := range map[string]string{
		"/":               "text/html; charset=utf-8",
		"/page/main.js":   "text/javascript; charset=utf-8",
		"/page/style.css": "text/css; charset=utf-8",
		"/page/icon.svg":  "image/svg+xml",
		"/api/v1/state":   "application/json",
		"/api/v1/status":  "application/json",
		"/page/nothing":   "text/plain; charset=utf-8",
	} {
		r := get(path)
		if want := map[bool]int{true: http.StatusNotFound, false: http.StatusOK}[strings.Contains(path, "nothing")]; r.StatusCode != want {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
		for name, want := range map[string]string{
			"Content-Type":                 kind,
			"Content-Security-Policy":      policy,
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is lax: %s", policy)
	}
}

// What has not changed since is not sent again, and files are asked for each time.
func TestFilesAreSentOnce(t *testing.T) {
	get := server(t, measured)
	r := get("/page/main.js")
	tag := r.Header.Get("ETag")
	if tag == "" || r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("ETag %q, Cache-Control %q", tag, r.Header.Get("Cache-Control"))
	}
	if again := get("/page/main.js", "If-None-Match", tag); again.StatusCode != http.StatusNotModified || body(t, again) != "" {
		t.Errorf("again: status %d", again.StatusCode)
	}
	if other := get("/page/dom.js").Header.Get("ETag"); other == tag {
		t.Error("two files have one tag")
	}
}

// The policy would forbid it, the page does not try: every script and style is a file
// of its own, and each name in the page is that of a file.
func TestPageIsItsFiles(t *testing.T) {
	get := server(t, measured)
	page := body(t, get("/"))
	for _, found := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		path := found[1]
		switch {
		case strings.HasPrefix(path, "#"), path == "metrics":
		case strings.Contains(path, "//"):
			t.Errorf("the page asks others: %s", path)
		case get("/"+path).StatusCode != http.StatusOK:
			t.Errorf("there is no %s", path)
		}
	}
	if found := regexp.MustCompile(` on[a-z]+="| style="|<style|<script>`).FindString(page); found != "" {
		t.Errorf("the page has %s", found)
	}
	files, err := static.ReadDir("static")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := static.ReadFile("static/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "SPDX-License-Identifier: Apache-2.0") {
			t.Errorf("%s has no licence line", f.Name())
		}
		if found := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function`).Find(text); found != nil {
			t.Errorf("%s makes markup or code of text: %s", f.Name(), found)
		}
		for _, found := range regexp.MustCompile(`from "\./([^"]*)"`).FindAllSubmatch(text, -1) {
			if _, err := static.ReadFile("static/" + string(found[1])); err != nil {
				t.Errorf("%s imports what is not there: %v", f.Name(), err)
			}
		}
	}
}

func TestState(t *testing.T) {
	var state State
	text := body(t, server(t, measured)("/api/v1/state"))
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		t.Fatal(err)
	}
	if !state.Loaded || state.Version != "v1" || state.Host == "" || time.Since(state.Time) > time.Minute || len(state.Forwards) != 1 || state.Forwards[0].Counters == nil {
		t.Errorf("state is %s", text)
	}
	var status ctl.Status
	text = body(t, server(t, measured)("/api/v1/status"))
	if err := json.Unmarshal([]byte(text), &status); err != nil || len(status.Warnings) != 1 || status.Version != "v1" {
		t.Errorf("%v: status is %s", err, text)
	}
}

// What is not loaded has empty lists, and no null in place of them.
func TestStateNotLoaded(t *testing.T) {
	o := measured
	o.Measure = func(context.Context) (ctl.Measurement, error) { return ctl.Measurement{}, nil }
	text := body(t, server(t, o)("/api/v1/state"))
	if strings.Contains(text, "null") || !strings.Contains(text, `"loaded":false,"forwards":[],"hooks":[]`) {
		t.Errorf("state is %s", text)
	}
}

func TestStateUnreadable(t *testing.T) {
	o := measured
	o.Measure = func(context.Context) (ctl.Measurement, error) {
		return ctl.Measurement{}, errors.New("a pin is <missing>")
	}
	r := server(t, o)("/api/v1/state")
	var said failure
	if text := body(t, r); r.StatusCode != http.StatusServiceUnavailable || json.Unmarshal([]byte(text), &said) != nil || said.Error != "a pin is <missing>" {
		t.Errorf("status %d: %s", r.StatusCode, text)
	}
}

func TestLargeStateIsCompressed(t *testing.T) {
	o := measured
	o.Status = func(context.Context) (ctl.Status, error) {
		return ctl.Status{Warnings: []string{strings.Repeat("a warning ", 1000)}}, nil
	}
	get := server(t, o)
	for _, c := range []struct{ path, accept, want string }{
		{"/api/v1/status", "gzip", "gzip"},
		{"/api/v1/status", "", ""},
		{"/api/v1/status", "gzip;q=0", ""},
		{"/page/style.css", "gzip", "gzip"},
	} {
		if got := get(c.path, "Accept-Encoding", c.accept).Header.Get("Content-Encoding"); got != c.want {
			t.Errorf("%s with Accept-Encoding %q is encoded %q", c.path, c.accept, got)
		}
	}
}

// Many who ask cause one look, and it is not the one's business that another gives up.
func TestLooksAreShared(t *testing.T) {
	var looks atomic.Int64
	s := newShared(time.Hour, func(ctx context.Context) (int64, error) { return looks.Add(1), ctx.Err() })
	var all sync.WaitGroup
	for i := range 20 {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		if i%2 == 0 {
			leave()
		}
		all.Go(func() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
			if w.Body.Len() == 0 && ctx.Err() == nil {
				t.Error("there is no answer")
			}
		})
	}
	all.Wait()
	// One for those who give up, at most, and one for all others.
	if n := looks.Load(); n > 2 {
		t.Errorf("%d looks", n)
	}
}

// Who waits for a command that keeps the dataplane to itself is told so, in the end.
func TestLooksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared(time.Second, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		began := time.Now()
		if a, err := s.looks.Get(t.Context()); err != nil || a.code != http.StatusServiceUnavailable || time.Since(began) != patience {
			t.Errorf("after %v: status %d (%v)", time.Since(began), a.code, err)
		}
		time.Sleep(time.Minute) // until nothing is under way
	})
}
