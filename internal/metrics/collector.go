// SPDX-License-Identifier: Apache-2.0

// Package metrics says in Prometheus's words what can be measured of a dataplane.
// The kernel counts; nothing is kept here from one scrape to the next, so counters
// outlive the process that shows them. docs/metrics.md describes each metric.
package metrics

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

// patience is how long a measurement may take: less than the ten seconds for which
// Prometheus waits unless told otherwise, so that it hears xfwd_up.
const patience = 9 * time.Second

var (
	up        = gauge("up", "Whether the dataplane could be read, or found not to be loaded.")
	loaded    = gauge("loaded", "Whether the dataplane is loaded in the kernel.")
	buildInfo = gauge("build_info", "The program that answers; the value is always 1.", "version", "goversion")
)

// Collector measures the dataplane anew for each scrape.
type Collector struct {
	// Version is that of the program.
	Version string
	// Measure measures the dataplane that is there at the moment.
	Measure func(context.Context) (ctl.Measurement, error)
}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range families {
		if !f.own {
			to <- f.desc
		}
	}
}

// Collect sends all metrics. Of a dataplane that cannot be read, and of one that is
// not loaded, nothing is sent but that it is so.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	buildInfo.put(to, 1, c.Version, runtime.Version())
	m, err := c.Measure(ctx)
	up.put(to, truth(err == nil))
	if err != nil {
		return
	}
	loaded.put(to, truth(m.Loaded))
	if !m.Loaded {
		return
	}
	collectForwards(to, m.Forwards)
	collectReasons(to, m)
	collectFlows(to, m.Flows, m.Drops)
	collectMaps(to, m.Maps)
	collectHooks(to, m.Hooks)
}
