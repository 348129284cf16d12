// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// No request of wrk's to several nginx fails while backends are added and
// drained, be it a connection for each request or for many; all backends serve.
func TestWrkThroughChanges(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nginx", "wrk")
	for name, header := range map[string]string{"connections kept": "Connection: keep-alive", "connections anew": "Connection: close"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newSilentFleet(t, 3)
			f.xfwd.MaxFlows = "65536"
			var logs []string
			for _, pod := range f.pods {
				logs = append(logs, startNginx(t, pod.Namespace, fleetPort))
			}
			for family, host := range f.HostAddr.All() {
				within(t, f.Network, family, func(t *testing.T) {
					f.publish(t, "80", f.backends("", 0))
					url := "http://" + at(host, 80).String() + "/"
					wrk := f.Client.Start("wrk", "-t", "1", "-c", "20", "-d", "5s", "--timeout", "2s", "-H", header, url)
					for changes := 0; wrk.Running(); changes++ {
						one := f.backends("", 1+changes%2)
						f.change(t, "add", "80", one...)
						f.change(t, "drain", "80", f.backends("", 0)...)
						f.change(t, "set", "80", f.backends(",weight=2", 0)...)
						f.change(t, "drain", "80", one...)
						f.change(t, "set", "80", f.backends("", 0, 1+changes%2)...)
						time.Sleep(50 * time.Millisecond)
					}
					mustServeAll(t, wrk)
					f.xfwd.Do("del", "80")
				})
			}
			for i, log := range logs {
				lines, err := os.ReadFile(log)
				if served := bytes.Count(lines, []byte("\n")); err != nil || served < 20 {
					t.Errorf("backend %d served %d requests (%v)", i, served, err)
				}
			}
		})
	}
}

var wrkRequests = regexp.MustCompile(`(\d+) requests in `)

// mustServeAll fails the test unless wrk had an answer to each of many requests.
func mustServeAll(t *testing.T, wrk *lab.Process) {
	t.Helper()
	err := wrk.Wait()
	said := wrk.Stdout.String()
	match := wrkRequests.FindStringSubmatch(said)
	if err != nil || match == nil {
		t.Fatalf("wrk: %v: %s%s", err, said, &wrk.Stderr)
	}
	if requests, _ := strconv.Atoi(match[1]); requests < 500 {
		t.Errorf("hardly any requests: %s", said)
	}
	// It says nothing of errors where there were none.
	if strings.Contains(said, "Socket errors") || strings.Contains(said, "Non-2xx") {
		t.Errorf("requests failed: %s", said)
	}
}
