// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// A client whose port is taken, and all that it could be given instead, is
// dropped: the target could not tell what it sends from what others send.
func TestNoSourcePort(t *testing.T) {
	t.Parallel()
	w := newWorldFor(t, 1<<15)
	w.runCases(t, []testCase{{
		name:     "to the frontend and to the target",
		forwards: []string{"53/udp 30053"},
		families: onlyIPv4,
		links:    onlyEthernet,
		steps: []step{
			does(func(r *run) { r.claimAll(client, host.at(30053)) }),
			// The flows have no entries for requests, so no step can be taken.
			does(func(r *run) {
				for _, port := range []int{53, 30053} {
					p := between(client.at(40000), host.at(port), udp("?"))
					r.mustEnd(ingress, r.link.frame(p, r.family, r.mac("eth0")), drop, "no-source-port")
				}
			}),
		},
	}})
}

// claimAll makes flows of a client with all of its ports to a target: entries for
// replies, which are what claims the ports.
func (r *run) claimAll(from machine, target endpoint) {
	r.Helper()
	const ports = 1 << 16
	keys, values := make([]bpf.XfwdTuple, ports), make([]bpf.XfwdFlow, ports)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		r.Fatal(err)
	}
	for port := range ports {
		keys[port] = bpf.XfwdTuple{
			Source: kernelAddress(target.V4), SourcePort: kernelPort(target.port),
			Destination: kernelAddress(from.V4), DestinationPort: kernelPort(port),
			Protocol: unix.IPPROTO_UDP,
		}
		// To another frontend than any here.
		values[port] = bpf.XfwdFlow{To: keys[port], LastSeen: uint64(now.Nano()), Flags: uint8(bpf.XfwdFlowFlagFLOW_REVERSE)}
		values[port].To.SourcePort = kernelPort(9)
	}
	r.crowded = true
	if _, err := r.maps.FlowsEstablished.BatchUpdate(keys, values, nil); err != nil {
		r.Fatal(err)
	}
}
