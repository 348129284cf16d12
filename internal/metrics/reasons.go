// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

var (
	drops = counter("drops_total",
		"Packets that were dropped, or answered by an error, by whatever forward, also by those that are deleted.", "reason")
	passes = counter("passes_total",
		"Packets that were left as they were.", "reason")
)

func collectReasons(to chan<- prometheus.Metric, m ctl.Measurement) {
	for reason, packets := range m.Drops {
		drops.put(to, float64(packets), reason)
	}
	for reason, packets := range m.Passes {
		passes.put(to, float64(packets), reason)
	}
}
