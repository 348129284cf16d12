// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xfwd/xfwd/internal/ctl"
)

// The values of the label direction, which are those of the columns of `xfwd stats`.
const (
	directionIn  = "in"
	directionOut = "out"
)

var (
	forwards = gauge("forwards", "Forwards that are published.")

	forwardPackets = counter("forward_packets_total",
		"Packets on the wire that clients sent (in), or that were sent to them (out).",
		"forward", "frontend", "protocol", "direction")
	forwardBytes = counter("forward_bytes_total",
		"Bytes on the wire that clients sent (in), or that were sent to them (out).",
		"forward", "frontend", "protocol", "direction")
	forwardConnections = counter("forward_connections_total",
		"Connections that clients opened; over UDP, flows.",
		"forward", "frontend", "protocol")
	forwardActive = gauge("forward_active_connections",
		"Connections that are open: accepted and not closed, or over UDP, not idle for too long.",
		"forward", "frontend", "protocol")
	forwardDrops = counter("forward_drops_total",
		"Packets of clients that were dropped, or answered by an error; a reason appears with its first packet.",
		"forward", "frontend", "protocol", "reason")

	backendActive = gauge("backend_active_connections",
		"Connections of the forward that are open and have this backend.",
		"forward", "frontend", "protocol", "backend")
)

// collectForwards sends what is known of each forward. It is called after its name,
// or after its frontend if it has none; only the frontend is unique.
func collectForwards(to chan<- prometheus.Metric, all []ctl.ForwardCounters) {
	forwards.put(to, float64(len(all)))
	for _, f := range all {
		frontend, protocol := f.Frontend.Label(), f.Frontend.Protocol.String()
		name := cmp.Or(f.Name, frontend)
		traffic := func(direction string, counted ctl.Traffic) {
			forwardPackets.put(to, float64(counted.Packets), name, frontend, protocol, direction)
			forwardBytes.put(to, float64(counted.Bytes), name, frontend, protocol, direction)
		}
		traffic(directionIn, f.Counters.Forward)
		traffic(directionOut, f.Counters.Reverse)
		forwardConnections.put(to, float64(f.Counters.Connections.Opened), name, frontend, protocol)
		forwardActive.put(to, float64(f.Counters.Connections.Active), name, frontend, protocol)
		for reason, packets := range f.Counters.Drops {
			forwardDrops.put(to, float64(packets), name, frontend, protocol, reason)
		}
		for i, use := range f.Uses {
			backendActive.put(to, float64(use.Active), name, frontend, protocol, f.Backends[i].Place())
		}
	}
}
