// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/deploy"
	"github.com/xfwd/xfwd/test/lab"
)

// repository is the root of the repository.
const repository = "../.."

// A Prometheus elsewhere scrapes xfwd under traffic, sees how fast it flows, and what
// its rules and the dashboard ask for is there. Alerts fire for what is wrong, and
// cease when it is put right.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	lab.Need(t, "prometheus")
	lan := lab.New(t).Direct()
	for _, network := range networks {
		lan.Host.Echo(network, ":30080")
	}
	monitor := lan.Pods(1, 1500)[0]
	x := lan.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--name", "web", "--expires", "1h")
	x.Add("81", "30081", "--name", "drained")
	x.Do("backend", "drain", "drained", "30081")
	x.Add("82", "30080", "--name", "checked", "--check", "tcp,"+often)
	s := x.Serve()
	p := startPrometheus(t, monitor, at(lan.HostAddr.V4, 9980).String())

	load := keepTalking(lan, 80)
	load.mustGoOn(t, soon)
	for _, direction := range []string{"in", "out"} {
		p.mustBecome(t, `sum(rate(xfwd_forward_packets_total{forward="web",direction="`+direction+`"}[30s])) > 0`)
	}
	p.mustBecome(t, `sum(xfwd_forward_active_connections{forward="web"}) >= 4`)
	p.mustBecome(t, `sum(rate(xfwd_backend_bytes_total{forward="web",backend="30080"}[30s])) == sum(rate(xfwd_forward_bytes_total{forward="web"}[30s])) > 0`)
	// A process of this host accepts at once.
	p.mustBecomeWith(t, `histogram_quantile(0.5, rate(xfwd_forward_setup_seconds{forward="web"}[1m])) < 0.5`, func() {
		conn, err := lan.Client.Dial("tcp", at(lan.HostAddr.V4, 80), anyPort)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
	refuse := func() error {
		conn, err := lan.Client.Dial("tcp", at(lan.HostAddr.V4, 81), anyPort)
		if err == nil {
			conn.Close()
			t.Fatal("a forward whose only backend is drained takes a connection")
		}
		if !p.fires(t, `alertname="XfwdBackendUnreachable",forward="drained",reason="no-backend"`) {
			return fmt.Errorf("nobody is alerted that clients are refused")
		}
		return nil
	}
	lab.Eventually(t, prometheusPatience, refuse)
	mustBeInPrometheus(t, p)

	alert := func(what string, cause, remedy func()) {
		t.Helper()
		if p.fires(t, what) {
			t.Fatalf("%s fires before there is a reason", what)
		}
		cause()
		p.mustBecome(t, fmt.Sprintf(`ALERTS{alertstate="firing",%s}`, what))
		remedy()
		p.mustBecome(t, fmt.Sprintf(`absent(ALERTS{alertstate="firing",%s})`, what))
	}
	add := func() { x.Add("80/tcp+udp", "30080", "--name", "web", "--expires", "1h") }
	alert(`alertname="XfwdBackendDown",forward="checked",backend="30082"`,
		func() { x.Do("backend", "add", "checked", "30082") }, func() { x.Do("backend", "del", "checked", "30082") })
	alert(`alertname="XfwdHookDetached",device="eth0",hook="ingress"`, func() { x.TearOff("eth0", "ingress") }, add)
	alert(`alertname="XfwdScrapeFails"`, s.Kill, func() { s = x.Serve() })
	alert(`alertname="XfwdNotLoaded"`, func() { x.Do("unload") }, add)
}

// mustBeInPrometheus fails the test unless every metric that rules and the dashboard name is
// there, and everything that they ask for is answered.
func mustBeInPrometheus(t *testing.T, p *prometheus) {
	t.Helper()
	rules, err := deploy.Rules(repository)
	if err != nil {
		t.Fatal(err)
	}
	dashboard, err := deploy.ReadDashboard(repository)
	if err != nil {
		t.Fatal(err)
	}
	expressions := dashboard.Expressions("xfwd", "1m")
	for _, rule := range rules {
		expressions = append(expressions, rule.Expr)
	}
	for _, expression := range expressions {
		if _, err := p.query(expression); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
		for _, name := range deploy.Metrics(expression) {
			if p.series(t, name) == 0 {
				t.Errorf("there is no %s, which is asked for by\n%s", name, expression)
			}
		}
	}
}

// prometheus is a running Prometheus, with our rules.
type prometheus struct{ *lab.Web }

// prometheusPatience is how long Prometheus may take for what it does every second.
const prometheusPatience = 20 * lab.Patience

// startPrometheus starts a Prometheus that scrapes a target, every second, and waits
// until it has.
func startPrometheus(t *testing.T, in lab.Pod, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	for _, name := range deploy.RuleFiles {
		rules, err := os.ReadFile(filepath.Join(repository, "deploy/prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), impatient.ReplaceAllString(string(rules), "for: 1s"))
	}
	config := filepath.Join(dir, "prometheus.yaml")
	write(t, config, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [`+strings.Join(deploy.RuleFiles, ", ")+`]
scrape_configs:
  - job_name: xfwd
    static_configs:
      - targets: ["`+target+`"]
`)
	const listen = "127.0.0.1:9090"
	in.Start("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+listen, "--log.level=warn", "--enable-feature=native-histograms")
	p := &prometheus{in.Web(listen)}
	p.mustBecome(t, "xfwd_up == 1")
	return p
}

// impatient is how long the cause of an alert must last.
var impatient = regexp.MustCompile(`for: \d+m\b`)

// query returns how many series the answer to a question has.
func (p *prometheus) query(expression string) (series int, err error) {
	answer, err := p.Get("/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return 0, err
	}
	var result struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(answer.Body), &result); err != nil {
		return 0, err
	}
	if result.Status != "success" {
		return 0, fmt.Errorf("%s: %s", result.Status, result.Error)
	}
	return len(result.Data.Result), nil
}

// series is query for what must be answered.
func (p *prometheus) series(t *testing.T, expression string) int {
	t.Helper()
	n, err := p.query(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return n
}

// fires says whether an alert with these labels does.
func (p *prometheus) fires(t *testing.T, labels string) bool {
	t.Helper()
	return p.series(t, fmt.Sprintf(`ALERTS{alertstate="firing",%s}`, labels)) > 0
}

// mustBecome waits until a question has an answer.
func (p *prometheus) mustBecome(t *testing.T, expression string) {
	t.Helper()
	p.mustBecomeWith(t, expression, func() {})
}

// mustBecomeWith is mustBecome, and does something again and again meanwhile.
func (p *prometheus) mustBecomeWith(t *testing.T, expression string, do func()) {
	t.Helper()
	started := time.Now()
	lab.Eventually(t, prometheusPatience, func() error {
		do()
		series, err := p.query(expression)
		if err == nil && series == 0 {
			err = fmt.Errorf("%s has no answer", expression)
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond)
		}
		return err
	})
	t.Logf("after %.1f s: %s", time.Since(started).Seconds(), expression)
}
