// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/xfwd/xfwd/internal/ctl"
)

// scrape returns the series of a measurement, without what explains them.
func scrape(t *testing.T, m ctl.Measurement, failure error) map[string]bool {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&Collector{Version: "v1", Measure: func(context.Context) (ctl.Measurement, error) { return m, failure }})
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if answer.Code != 200 {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	series := make(map[string]bool)
	for line := range strings.Lines(answer.Body.String()) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "xfwd_build_info") {
			series[strings.TrimSpace(line)] = true
		}
	}
	return series
}

// parse returns forwards of a file.
func parse(t *testing.T, entries string) []ctl.ForwardCounters {
	t.Helper()
	file, err := ctl.ParseFile("f.yaml", []byte("apiVersion: xfwd/v1\nforwards:\n"+entries), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var forwards []ctl.ForwardCounters
	for _, f := range file.Forwards {
		forwards = append(forwards, ctl.ForwardCounters{Forward: f, Uses: make([]ctl.BackendUse, len(f.Backends))})
	}
	return forwards
}

// Of what cannot be read, or is not loaded, there is nothing but that.
func TestNothingToShow(t *testing.T) {
	for want, got := range map[string]map[string]bool{
		"xfwd_up 0":     scrape(t, ctl.Measurement{}, errors.New("no")),
		"xfwd_loaded 0": scrape(t, ctl.Measurement{}, nil),
	} {
		delete(got, "xfwd_up 1")
		if !got[want] || len(got) != 1 {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

// Forwards of one port are told apart by protocol, address and device, whatever their
// names; a forward without a name is called after its frontend.
func TestForwards(t *testing.T) {
	forwards := parse(t, `  - {frontend: 53/tcp+udp, backends: [5353], name: dns}
  - {frontend: 53/udp, backends: [5354], devices: [eth1, eth0]}
  - {frontend: "[2001:db8::1]:53/udp", backends: ["[2001:db8::2]:53,weight=3"]}
  - {frontend: 9000-9005, backends: ["10.0.0.1:9000-9005", "10.0.0.2:9000-9005,state=draining"], name: range, expiresAt: 2030-12-31T23:59:00Z}
  - {frontend: 80, backends: []}
`)
	forwards[0].Counters = ctl.Counters{
		Forward:     ctl.Traffic{Packets: 1, Bytes: 1 << 53},
		Reverse:     ctl.Traffic{Packets: 3, Bytes: 4},
		Connections: ctl.Connections{Opened: 5, Active: 6},
		Drops:       map[string]uint64{"no-route": 7},
	}
	forwards[4].Uses[1].Connections.Active = 8
	forwards[4].Backends[0].Health, forwards[4].Backends[1].Health = ctl.HealthUp, ctl.HealthDown
	got := scrape(t, ctl.Measurement{Loaded: true, Forwards: forwards}, nil)
	for _, want := range []string{
		`xfwd_forwards 6`,
		`xfwd_forward_packets_total{direction="in",forward="dns",frontend="53/tcp",protocol="tcp"} 1`,
		`xfwd_forward_packets_total{direction="out",forward="dns",frontend="53/tcp",protocol="tcp"} 3`,
		`xfwd_forward_bytes_total{direction="in",forward="dns",frontend="53/tcp",protocol="tcp"} 9.007199254740992e+15`,
		`xfwd_forward_bytes_total{direction="out",forward="dns",frontend="53/tcp",protocol="tcp"} 4`,
		`xfwd_forward_connections_total{forward="dns",frontend="53/tcp",protocol="tcp"} 5`,
		`xfwd_forward_active_connections{forward="dns",frontend="53/tcp",protocol="tcp"} 6`,
		`xfwd_forward_drops_total{forward="dns",frontend="53/tcp",protocol="tcp",reason="no-route"} 7`,
		`xfwd_forward_connections_total{forward="dns",frontend="53/udp",protocol="udp"} 0`,
		`xfwd_forward_connections_total{forward="53/udp on eth0,eth1",frontend="53/udp on eth0,eth1",protocol="udp"} 0`,
		`xfwd_forward_connections_total{forward="[2001:db8::1]:53/udp",frontend="[2001:db8::1]:53/udp",protocol="udp"} 0`,
		`xfwd_forward_expires_timestamp_seconds{forward="range",frontend="9000-9005/tcp",protocol="tcp"} 1.92499194e+09`,
		`xfwd_backend_active_connections{backend="5353",forward="dns",frontend="53/udp",protocol="udp"} 0`,
		`xfwd_backend_active_connections{backend="[2001:db8::2]:53",forward="[2001:db8::1]:53/udp",frontend="[2001:db8::1]:53/udp",protocol="udp"} 0`,
		`xfwd_backend_active_connections{backend="10.0.0.2:9000-9005",forward="range",frontend="9000-9005/tcp",protocol="tcp"} 8`,
		`xfwd_backend_up{backend="10.0.0.1:9000-9005",forward="range",frontend="9000-9005/tcp",protocol="tcp"} 1`,
		`xfwd_backend_up{backend="10.0.0.2:9000-9005",forward="range",frontend="9000-9005/tcp",protocol="tcp"} 0`,
		`xfwd_forward_active_connections{forward="80/tcp",frontend="80/tcp",protocol="tcp"} 0`,
	} {
		if !got[want] {
			t.Errorf("there is no %s", want)
		}
	}
	for series := range got {
		if strings.HasPrefix(series, "xfwd_forward_expires") && !strings.Contains(series, `"range"`) {
			t.Errorf("there is %s", series)
		}
		if strings.HasPrefix(series, "xfwd_backend_up") && !strings.Contains(series, `forward="range"`) {
			t.Errorf("of a backend of which nothing is known there is %s", series)
		}
	}
	if t.Failed() {
		t.Logf("got %v", got)
	}
}

// Hooks that need no program are left out; the name of a device is shown whatever it is.
func TestHooks(t *testing.T) {
	got := scrape(t, ctl.Measurement{Loaded: true, Hooks: []ctl.HookStatus{
		{Device: "eth0", Hook: "ingress", Mode: "tcx"},
		{Device: "lo", Hook: "ingress", Mode: ctl.ModeNone, Why: "loopback"},
		{Device: "eth1", Hook: "egress", Mode: ctl.ModeNone, Missing: true},
		{Device: "\xff\"", Hook: "xdp", Mode: "native"},
		{Hook: "connect4", Mode: "cgroup"},
	}}, nil)
	hooks := 0
	for series := range got {
		if strings.HasPrefix(series, "xfwd_hook_attached") {
			hooks++
		}
	}
	for _, want := range []string{
		`xfwd_hook_attached{device="eth0",hook="ingress",mode="tcx"} 1`,
		`xfwd_hook_attached{device="eth1",hook="egress",mode="none"} 0`,
		`xfwd_hook_attached{device="\\xff\"",hook="xdp",mode="native"} 1`,
		`xfwd_hook_attached{device="",hook="connect4",mode="cgroup"} 1`,
	} {
		if !got[want] {
			t.Errorf("there is no %s", want)
		}
	}
	if hooks != 4 {
		t.Errorf("%d hooks are shown, want 4: %v", hooks, got)
	}
}
