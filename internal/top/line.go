// SPDX-License-Identifier: Apache-2.0

package top

import (
	"strings"

	"github.com/rivo/uniseg"
)

// Line is one of the screen.
type Line struct {
	Text  string
	Style Style
}

// Style is how a line looks. Without it nothing is missing.
type Style int

// The styles.
const (
	Plain Style = iota
	// Strong is what the screen is about.
	Strong
	// Title is the titles of columns.
	Title
	// Selected is the row that enter looks into.
	Selected
	// Alert is what somebody should see to.
	Alert
	// Weak is what one knows after the first time.
	Weak
)

// cut makes a text at most so wide. A tilde stands for what is cut off.
func cut(text string, width int) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	var b strings.Builder
	used := 0
	for rest, state := text, -1; used < width; {
		var cluster string
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used+w > width-1 {
			break
		}
		b.WriteString(cluster)
		used += w
	}
	if width > 0 {
		b.WriteString("~")
	}
	return b.String()
}

// left and right are a text in a column of that width.
func left(text string, width int) string {
	text = cut(text, width)
	return text + gap(text, width)
}

func right(text string, width int) string {
	text = cut(text, width)
	return gap(text, width) + text
}

// gap fills a column up, which has no width at all on the smallest screens.
func gap(text string, width int) string {
	return strings.Repeat(" ", max(0, width-uniseg.StringWidth(text)))
}
