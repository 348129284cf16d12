// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

var (
	mapEntries  = gauge("map_entries", "Entries of a map of the dataplane.", "map")
	mapCapacity = gauge("map_capacity", "Entries that a map of the dataplane has room for.", "map")
)

func collectMaps(to chan<- prometheus.Metric, usage []ctl.MapUse) {
	for _, u := range usage {
		mapEntries.put(to, float64(u.Entries), u.Name)
		mapCapacity.put(to, float64(u.Capacity), u.Name)
	}
}
