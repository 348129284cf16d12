// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/internal/metrics"
)

const root = "../.."

func promtool(t *testing.T, args ...string) {
	t.Helper()
	command := exec.Command("promtool", args...)
	command.Dir = filepath.Join(root, "deploy/prometheus")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", command, err, output)
	}
}

// Prometheus takes the rules, and they say what they should about the series of
// tests.yaml, in which each alert fires.
func TestRules(t *testing.T) {
	promtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, RuleFiles...)...)
	promtool(t, "test", "rules", "tests.yaml")
	tests, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/tests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules(t) {
		if rule.Alert != "" && !strings.Contains(string(tests), "alertname: "+rule.Alert+"\n") {
			t.Errorf("nobody tests the alert %s", rule.Alert)
		}
	}
}

func rules(t *testing.T) []Rule {
	t.Helper()
	all, err := Rules(root)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d rules: %v", len(all), err)
	}
	return all
}

func dashboard(t *testing.T) Dashboard {
	t.Helper()
	d, err := ReadDashboard(root)
	if err != nil || len(d.Panels) == 0 {
		t.Fatalf("%d panels: %v", len(d.Panels), err)
	}
	return d
}

// The panels of the dashboard have their own numbers and places, and say what they
// show.
func TestDashboard(t *testing.T) {
	taken := map[[2]int]string{}
	numbers := map[int]string{}
	for _, p := range dashboard(t).Panels {
		if other, twice := numbers[p.ID]; twice {
			t.Errorf("%s and %s are both number %d", p.Title, other, p.ID)
		}
		numbers[p.ID] = p.Title
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("%s asks nothing, or does not say what it shows", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				place := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, there := taken[place]; there {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[place] = p.Title
				if place[0] >= 24 {
					t.Fatalf("%s is too far to the right", p.Title)
				}
			}
		}
	}
}

// Rules and dashboard name metrics that there are, and each metric is asked for by one
// of them.
func TestMetricsAreAskedFor(t *testing.T) {
	var known, asked []string
	// Of a histogram one asks for its parts.
	whole := make(map[string]string)
	for _, f := range metrics.Families() {
		known = append(known, f.Name)
		if f.Type == "histogram" {
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				whole[f.Name+part] = f.Name
			}
		}
	}
	for _, rule := range rules(t) {
		if rule.Record != "" {
			known = append(known, rule.Record)
		}
		asked = append(asked, Metrics(rule.Expr)...)
	}
	d := dashboard(t)
	for _, expression := range d.Expressions("xfwd", "5m") {
		asked = append(asked, Metrics(expression)...)
	}
	for _, variable := range d.Templating.List {
		asked = append(asked, Metrics(variable.Definition)...)
	}
	for i, name := range asked {
		if histogram, is := whole[name]; is {
			name, asked[i] = histogram, histogram
		}
		if !slices.Contains(known, name) {
			t.Errorf("%s is asked for, and nobody has it", name)
		}
	}
	for _, name := range known {
		if strings.HasPrefix(name, "xfwd_") && !slices.Contains(asked, name) {
			t.Errorf("nobody asks for %s", name)
		}
	}
}

// The names in an expression are found.
func TestMetrics(t *testing.T) {
	const expression = `sum by (xfwd) (rate(xfwd_a_total{forward=~"x"}[5m])) / ignoring (state) forward:xfwd_b:rate5m > up + xfwd_a_total`
	if got := Metrics(expression); !slices.Equal(got, []string{"forward:xfwd_b:rate5m", "xfwd_a_total"}) {
		t.Errorf("got %q", got)
	}
}
