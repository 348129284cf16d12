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

// insertFailed is the reason for drops of which there is a metric of its own.
const insertFailed = "flow-insert"

var (
	flowsEvicted = counter("flow_entries_evicted_total",
		"Entries that the flow table has forgotten because it was full, when `xfwd serve` last counted; a flow has two.", "state")
	flowInsertFailures = counter("flow_insert_failures_total",
		"Flows that the kernel refused an entry; their packets are among those of xfwd_drops_total.")
)

func collectFlows(to chan<- prometheus.Metric, table ctl.FlowTable, drops map[string]uint64) {
	flows.put(to, float64(table.Established), "established")
	flows.put(to, float64(table.Transitory), "transitory")
	flowsCapacity.put(to, float64(table.MaxFlows))
	flowsEvicted.put(to, float64(table.Evicted.Established), "established")
	flowsEvicted.put(to, float64(table.Evicted.Transitory), "transitory")
	flowInsertFailures.put(to, float64(drops[insertFailed]))
}
