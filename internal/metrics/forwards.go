// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"time"

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
	forwardSetup = nativeHistogram("forward_setup_seconds",
		"From a client's SYN to the SYN-ACK of its target, as both came by; a native histogram that appears with its first connection.",
		"forward", "frontend", "protocol")
	forwardDrops = counter("forward_drops_total",
		"Packets of clients that were dropped, or answered by an error; a reason appears with its first packet.",
		"forward", "frontend", "protocol", "reason")
	forwardExpires = gauge("forward_expires_timestamp_seconds",
		"When the forward ends by itself; others have none.",
		"forward", "frontend", "protocol")

	backendPackets = counter("backend_packets_total",
		"Packets on the wire that clients sent to this backend (in), or that it sent to them (out).",
		"forward", "frontend", "protocol", "backend", "direction")
	backendBytes = counter("backend_bytes_total",
		"Bytes on the wire that clients sent to this backend (in), or that it sent to them (out).",
		"forward", "frontend", "protocol", "backend", "direction")
	backendConnections = counter("backend_connections_total",
		"Connections that were given this backend; over UDP, flows.",
		"forward", "frontend", "protocol", "backend")
	backendActive = gauge("backend_active_connections",
		"Connections of the forward that are open and have this backend.",
		"forward", "frontend", "protocol", "backend")
	backendUp = gauge("backend_up",
		"Whether checks have found the backend to be up; missing while they have not, and without a check.",
		"forward", "frontend", "protocol", "backend")
)

// collectForwards sends what is known of each forward. It is called after its name,
// or after its frontend if it has none; only the frontend is unique.
func collectForwards(to chan<- prometheus.Metric, all []ctl.ForwardCounters) {
	forwards.put(to, float64(len(all)))
	for _, f := range all {
		frontend, protocol := f.Frontend.Label(), f.Frontend.Protocol.String()
		name := cmp.Or(f.Name, frontend)
		forwardPackets.putTraffic(to, packetsOf, f.Counters.Forward, f.Counters.Reverse, name, frontend, protocol)
		forwardBytes.putTraffic(to, bytesOf, f.Counters.Forward, f.Counters.Reverse, name, frontend, protocol)
		forwardConnections.put(to, float64(f.Counters.Connections.Opened), name, frontend, protocol)
		forwardActive.put(to, float64(f.Counters.Connections.Active), name, frontend, protocol)
		for reason, packets := range f.Counters.Drops {
			forwardDrops.put(to, float64(packets), name, frontend, protocol, reason)
		}
		if !f.ExpiresAt.IsZero() {
			forwardExpires.put(to, float64(f.ExpiresAt.Unix()), name, frontend, protocol)
		}
		if len(f.Setup.Buckets) > 0 {
			putSetup(to, f.Setup, name, frontend, protocol)
		}
		for i, use := range f.Uses {
			b := f.Backends[i]
			backend := b.Place()
			backendPackets.putTraffic(to, packetsOf, use.Forward, use.Reverse, name, frontend, protocol, backend)
			backendBytes.putTraffic(to, bytesOf, use.Forward, use.Reverse, name, frontend, protocol, backend)
			backendConnections.put(to, float64(use.Connections.Opened), name, frontend, protocol, backend)
			backendActive.put(to, float64(use.Connections.Active), name, frontend, protocol, backend)
			if b.Health != "" {
				backendUp.put(to, truth(b.Health == ctl.HealthUp), name, frontend, protocol, backend)
			}
		}
	}
}

func packetsOf(t ctl.Traffic) uint64 { return t.Packets }
func bytesOf(t ctl.Traffic) uint64   { return t.Bytes }

// putTraffic sends what is counted of both directions.
func (f *Family) putTraffic(to chan<- prometheus.Metric, counted func(ctl.Traffic) uint64, in, out ctl.Traffic, labels ...string) {
	f.put(to, float64(counted(in)), append(labels, directionIn)...)
	f.put(to, float64(counted(out)), append(labels, directionOut)...)
}

// putSetup sends what the kernel has counted by the buckets of a native histogram. The
// forward began to count at some time in the past, which nobody has noted.
func putSetup(to chan<- prometheus.Metric, times ctl.SetupTimes, labels ...string) {
	to <- prometheus.MustNewConstNativeHistogram(forwardSetup.desc, times.Connections(), times.Sum.Seconds(),
		times.Buckets, nil, 0, ctl.SetupSchema, 0, time.Time{}, printable(labels)...)
}
