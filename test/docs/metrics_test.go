// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xfwd/xfwd/internal/metrics"
	"github.com/xfwd/xfwd/test/deploy"
)

// The table of metrics has all of them, as they are.
func TestMetricsAreDocumented(t *testing.T) {
	var want, got []string
	for _, f := range metrics.Families() {
		labels := ""
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		want = append(want, strings.Join([]string{"`" + f.Name + "`", f.Type, labels}, " | "))
	}
	for line := range strings.Lines(read(t, "docs/metrics.md")) {
		if cells := strings.Split(line, "|"); len(cells) == 6 && strings.HasPrefix(line, "| `") {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if cells[4] == "" {
				t.Errorf("what does %s mean?", cells[1])
			}
			got = append(got, strings.Join(cells[1:4], " | "))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("metrics (-) and their table (+) differ:\n%s", difference)
	}
}

// The table of alerts has all of them.
func TestAlertsAreDocumented(t *testing.T) {
	rules, err := deploy.Rules(root)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "docs/metrics.md")
	for _, rule := range rules {
		if rule.Alert != "" && !strings.Contains(text, "| `"+rule.Alert+"` |") {
			t.Errorf("the alert %s is not documented", rule.Alert)
		}
	}
}
