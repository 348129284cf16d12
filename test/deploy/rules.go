// SPDX-License-Identifier: Apache-2.0

// Package deploy reads what comes with xfwd for others: rules of Prometheus and a
// dashboard of Grafana.
package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Rule is one of Prometheus.
type Rule struct {
	Alert, Record string
	Expr          string
}

// RuleFiles are the names of the files of rules, in deploy/prometheus.
var RuleFiles = []string{"recording.yaml", "alerts.yaml"}

// Rules reads all rules below the root of the repository.
func Rules(root string) ([]Rule, error) {
	var rules []Rule
	for _, name := range RuleFiles {
		data, err := os.ReadFile(filepath.Join(root, "deploy/prometheus", name))
		if err != nil {
			return nil, err
		}
		var file struct{ Groups []struct{ Rules []Rule } }
		if err := yaml.Unmarshal(data, &file); err != nil {
			return nil, err
		}
		for _, group := range file.Groups {
			rules = append(rules, group.Rules...)
		}
	}
	return rules, nil
}

// Panel is a part of a dashboard.
type Panel struct {
	ID                 int
	Type               string
	Title, Description string
	GridPos            struct{ X, Y, W, H int }
	Targets            []struct{ RefID, Expr string }
}

// Dashboard is one of Grafana.
type Dashboard struct {
	Panels     []Panel
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

// ReadDashboard reads the dashboard below the root of the repository.
func ReadDashboard(root string) (Dashboard, error) {
	var d Dashboard
	data, err := os.ReadFile(filepath.Join(root, "deploy/grafana/xfwd.json"))
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(data, &d)
}

// Expressions are what the panels ask, for a job and every instance and forward, with
// rates over a duration.
func (d Dashboard) Expressions(job, over string) []string {
	fill := strings.NewReplacer("$__rate_interval", over, "$job", job, "$instance", ".*", "$forward", ".*")
	var all []string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, fill.Replace(target.Expr))
		}
	}
	return all
}

// metricName is a name of ours in an expression, or one that a rule has made of it.
var metricName = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\bxfwd_[a-z0-9_:]+|\bxfwd_[a-z0-9_:]+`)

// Metrics are the metrics of ours that an expression names.
func Metrics(expression string) []string {
	names := metricName.FindAllString(expression, -1)
	slices.Sort(names)
	return slices.Compact(names)
}
