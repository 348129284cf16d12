// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

var (
	flows = gauge("flows",
		"Live flows in the flow table, those of clients that talk to a target directly too.", "state")
	flowsCapacity = gauge("flows_capacity",
		"Established flows that the flow table has room for; beyond that, those that were idle for longest are forgotten.")
)

func collectFlows(to chan<- prometheus.Metric, table ctl.FlowTable) {
	flows.put(to, float64(table.Established), "established")
	flows.put(to, float64(table.Transitory), "transitory")
	flowsCapacity.put(to, float64(table.MaxFlows))
}
