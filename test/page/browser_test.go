// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/xfwd/xfwd/test/lab"
)

// chromium runs a browser without a window.
const chromium = "../../hack/browser.sh"

// patience is how long the page may take for whatever it does by itself: several
// of its rounds, on a machine that does much else.
const patience = 30 * time.Second

// browser is a browser that runs inside a namespace and looks at one page.
type browser struct {
	t   *testing.T
	ctx context.Context
	// url begins the addresses of everything that the page may ask for.
	url string

	mu sync.Mutex
	// requests are the addresses of everything that was asked for.
	requests []string
	// complaints are what the browser and the page's scripts had to say.
	complaints []string
	// deaf says that nobody answers, of which the browser complains.
	deaf bool
}

// screen is what somebody looks at the page by.
type screen struct {
	width, height int64
	// scheme is light or dark.
	scheme string
}

var (
	desktop = screen{1360, 900, "light"}
	phone   = screen{360, 740, "light"}
)

func (s screen) dark() screen {
	s.scheme = "dark"
	return s
}

// look opens the page of xfwd from within a namespace.
func look(t *testing.T, from *lab.Namespace, url string, at screen) *browser {
	t.Helper()
	b := open(t, from, url, at)
	b.until(`document.querySelector("#badge").dataset.state !== "asking"`)
	return b
}

// open opens a page from within a namespace. The test fails in the end if the page
// has asked for anything of others, or the console is not empty.
func open(t *testing.T, from *lab.Namespace, url string, at screen) *browser {
	t.Helper()
	lab.Need(t, chromium, "nsenter")
	b := &browser{t: t, url: url}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium),
		chromedp.NoSandbox, // which root needs
		chromedp.ModifyCmdFunc(func(command *exec.Cmd) {
			enter := exec.Command("nsenter", append([]string{"--net=" + from.Path()}, command.Args...)...)
			command.Path, command.Args = enter.Path, enter.Args
		}))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	var leave context.CancelFunc
	b.ctx, leave = chromedp.NewContext(allocator, chromedp.WithListener(b.hear))
	t.Cleanup(func() {
		b.mustBeContent()
		leave()
	})
	b.resize(at)
	must(b, chromedp.Navigate(url))
	return b
}

// hear takes down what must not happen.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, fmt.Sprintf("%s: %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if !b.deaf || e.Entry.Source != log.EntrySourceNetwork || !strings.HasPrefix(e.Entry.URL, b.url) {
			b.complaints = append(b.complaints, fmt.Sprintf("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}
}

// mustBeContent fails the test if the page has asked others, or had complaints.
func (b *browser) mustBeContent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if !strings.HasPrefix(url, b.url) {
			b.t.Errorf("the page asks for %s", url)
		}
	}
	if len(b.requests) == 0 {
		b.t.Error("no request was seen, not even for the page")
	}
	for _, complaint := range b.complaints {
		b.t.Errorf("the browser says: %s", complaint)
	}
}

// asked is how many requests there were for a path.
func (b *browser) asked(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, url := range b.requests {
		if url == b.url+path {
			n++
		}
	}
	return n
}

// awaitQuestions waits until the page has asked for the state so many times.
func (b *browser) awaitQuestions(n int) {
	b.t.Helper()
	lab.Eventually(b.t, patience, func() error {
		if asked := b.asked("api/v1/state"); asked < n {
			return fmt.Errorf("the page has asked %d times, want %d", asked, n)
		}
		return nil
	})
}

// ignoreNoAnswer is told when the server is ended and when it is there again: while
// it is not, the browser's complaints about that are none.
func (b *browser) ignoreNoAnswer(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = yes
}

// resize changes the screen.
func (b *browser) resize(to screen) {
	b.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if to.width < 500 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateScale(2))
	}
	must(b, chromedp.EmulateViewport(to.width, to.height, options...))
	must(b, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: to.scheme}},
		})
	})
}

// picture is what is seen, as PNG.
func (b *browser) picture() []byte {
	b.t.Helper()
	return must(b, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		return r.Data, err
	})
}

// must does something with the page and fails the test if it cannot be done.
func must[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	// The time limit of the first one would be that of the browser.
	result, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// value is that of an expression of JavaScript in the page, which may be a promise.
func value[T any](b *browser, expression string, arguments ...any) T {
	b.t.Helper()
	return must(b, chromedp.Evaluate[T](fmt.Sprintf(expression, arguments...), chromedp.EvalAwaitPromise))
}

// until waits until an expression is true.
func (b *browser) until(expression string, arguments ...any) {
	b.t.Helper()
	lab.Eventually(b.t, patience, func() error {
		// An expression throws if it reads an element that the page has not drawn yet.
		if value[bool](b, "(() => { try { return "+expression+" } catch { return false } })()", arguments...) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
		return errors.New(fmt.Sprintf(expression, arguments...) + " is not true; the page shows:\n" + value[string](b, "document.title + '\\n' + document.body.innerText"))
	})
}

// alter has a function of JavaScript change each state before the page takes it.
func (b *browser) alter(change string) {
	b.t.Helper()
	value[bool](b, `(() => {
		window.askServer ??= fetch;
		window.fetch = async (path, options) => {
			const answer = await askServer(path, options);
			if (path !== "api/v1/state" || !answer.ok) {
				return answer;
			}
			const state = await answer.json();
			(%s)(state);
			return Response.json(state);
		};
		return true;
	})()`, change)
}

// press presses a key, or types a text.
func (b *browser) press(keys string) {
	b.t.Helper()
	must(b, chromedp.KeyEvent(keys))
}
