// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/base64"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/xfwd/xfwd/test/lab"
)

// terminalWidth is how many columns the terminal of the picture has.
const terminalWidth = 100

// top takes a picture of `xfwd top`: the list of the scene's forwards, and below it the
// inside of the busiest one.
func (s *scene) top(t *testing.T) []byte {
	t.Helper()
	list := s.watch(15)
	inside := s.watch(16)
	inside.Press("Enter")
	inside.Await("flows of the busiest forward", func(screen string) bool {
		return strings.Contains(screen, "443/tcp shop") && strings.Contains(screen, "established")
	})
	page := fmt.Sprintf(terminalPage, terminalWidth, markUp(t, list.Styled()), markUp(t, inside.Styled()))
	b := open(t, s.Client, "data:text/html;base64,"+base64.StdEncoding.EncodeToString([]byte(page)), desktop)
	size := value[[2]int64](b, `[document.body.offsetWidth, document.body.offsetHeight]`)
	must(b, chromedp.EmulateViewport(size[0], size[1], chromedp.EmulateScale(2)))
	if value[bool](b, `document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight`) {
		t.Error("the picture is too small for the terminal")
	}
	return smaller(t, b.picture())
}

// watch runs `xfwd top` in a terminal with so many lines, until it shows rates, the
// busiest forward first.
func (s *scene) watch(height int) *lab.Terminal {
	terminal := s.Lab.Terminal(terminalWidth, height)
	terminal.Run(strings.Join(s.xfwd.Command("top").Args, " "))
	terminal.Await("rates", func(screen string) bool {
		lines := strings.Split(screen, "\n")
		return len(lines) > 4 && strings.HasPrefix(lines[3], "FRONTEND") && strings.HasPrefix(lines[4], "443/tcp ") && !strings.Contains(lines[4], " - ")
	})
	return terminal
}

// terminalPage is a page of two screens of a terminal with so many columns.
const terminalPage = `<!doctype html>
<meta charset="utf-8">
<style>
	body { box-sizing: border-box; width: max-content; margin: 0; padding: 14px; background: #0e1217; color: #d5dbe3; }
	pre { width: %dch; margin: 0; font: 14px/1.35 "DejaVu Sans Mono", monospace; }
	pre + pre { margin-top: 14px; padding-top: 14px; border-top: 1px solid #39424e; }
	.bold { font-weight: 700; color: #fff; }
	.dim { color: #8b96a4; }
	.underline { text-decoration: underline; text-underline-offset: 3px; }
	.reverse { padding-block: 2px; background: #d5dbe3; color: #0e1217; }
	.red { color: #ff8f87; }
</style>
<pre>%s</pre>
<pre>%s</pre>
`

// styles are the classes of what terminals are told by "Select Graphic Rendition".
var styles = map[string]string{"1": "bold", "2": "dim", "4": "underline", "7": "reverse", "31": "red"}

// markUp makes HTML of a screen: of text, and sequences that say what the text behind
// them looks like.
func markUp(t *testing.T, screen string) string {
	t.Helper()
	var b strings.Builder
	look := make(map[string]bool)
	for i, part := range strings.Split(strings.TrimRight(screen, "\n"), "\x1b[") {
		text := part
		if i > 0 {
			codes, behind, _ := strings.Cut(part, "m")
			for code := range strings.SplitSeq(codes, ";") {
				switch class, known := styles[code]; {
				case known:
					look[class] = true
				case code == "0":
					clear(look)
				case code == "39": // the colour of all text
					delete(look, "red")
				case code == "49": // the ground of all text
				default:
					t.Fatalf("the terminal says %q, which no style is known for", code)
				}
			}
			text = behind
		}
		fmt.Fprintf(&b, `<span class="%s">%s</span>`, strings.Join(slices.Sorted(maps.Keys(look)), " "), html.EscapeString(text))
	}
	return b.String()
}
