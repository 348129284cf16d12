// SPDX-License-Identifier: Apache-2.0

package packet

import "testing"

// An address beats none; then a device beats none; then a single port beats a
// range.
func TestPrecedence(t *testing.T) {
	everything := []string{
		"host:80 30001 --device eth0", "host:70-90 30002 --device eth0",
		"host:80 30003", "host:70-90 30004",
		"80 30005 --device eth0", "70-90 30006 --device eth0",
		"80 30007", "70-90 30008",
	}
	runCases(t, []testCase{
		{
			name:     "each of eight forwards that have a port",
			forwards: everything,
			steps: []step{
				opens("eth0", host.at(80), 30001), opens("eth0", host.at(81), 30002),
				opens("eth1", host.at(80), 30003), opens("eth1", host.at(81), 30004),
				opens("eth0", second.at(80), 30005), opens("eth0", second.at(81), 30006),
				opens("eth1", second.at(80), 30007), opens("eth1", second.at(81), 30008),
			},
		},
		{
			name:     "an address beats a device",
			forwards: []string{"host:80 30001", "80 30002 --device eth0"},
			steps:    []step{opens("eth0", host.at(80), 30001), opens("eth0", second.at(80), 30002)},
		},
		{
			name:     "an address beats a single port",
			forwards: []string{"host:70-90 30001", "80 30002"},
			steps:    []step{opens("eth0", host.at(80), 30001), opens("eth0", second.at(80), 30002)},
		},
		{
			name:     "a device beats a single port",
			forwards: []string{"70-90 30001 --device eth0", "80 30002"},
			steps:    []step{opens("eth0", host.at(80), 30001), opens("eth1", host.at(80), 30002)},
		},
		{
			name:     "a device beats a single port under one address",
			forwards: []string{"host:70-90 30001 --device eth0", "host:80 30002"},
			steps:    []step{opens("eth0", host.at(80), 30001), opens("eth1", host.at(80), 30002)},
		},
		{
			name:     "a single port beats the ends of a range",
			forwards: []string{"70-90 30001", "70 30002", "90 30003"},
			steps: []step{
				opens("eth0", host.at(70), 30002), opens("eth0", host.at(90), 30003),
				opens("eth0", host.at(71), 30001), opens("eth0", host.at(89), 30001),
			},
		},
		{
			name:     "TCP does not meet UDP",
			forwards: []string{"host:80/udp 30001", "80 30002"},
			steps:    []step{opens("eth0", host.at(80), 30002)},
		},
	})
}

func TestDevices(t *testing.T) {
	onlyThere := []string{"80 30080 --device eth1"}
	runCases(t, []testCase{
		{
			name:     "only where the forward is bound to",
			forwards: onlyThere,
			steps: []step{
				arrives(between(client.at(40000), host.at(80), syn(1))).stays("no-frontend"),
				opens("eth1", host.at(80), 30080),
			},
		},
		{
			name:     "replies may leave by another device, but requests do not come by it",
			forwards: onlyThere,
			steps: []step{
				web.asks(syn(1000)).opening().on("eth1"),
				web.answers(synAck(5000, 1001)).on("eth0"),
				arrives(web.request(ack(1001, 5001))).isDropped("wrong-device").on("eth0"),
				web.asks(ack(1001, 5001)).on("eth1"),
				web.answers(data(5001, 1001, "hello")).on("eth0"),
				flows{Established: 1},
			},
		},
		{
			name:     "loopback is for own connections",
			forwards: []string{"80 30080 --device lo"},
			steps: []step{
				arrives(between(client.at(40000), host.at(80), syn(1))).stays("no-frontend"),
				flows{},
			},
		},
	})
}

// opens is a SYN that arrives at a device for a frontend and goes to a port of
// the same address, or of the host's first where no process waits at another. Each is
// of another client's port.
func opens(device string, frontend endpoint, target int) step {
	at := frontend.machine
	if device == "eth0" {
		at = host
	}
	return through(client.at(frontend.port+target), frontend, at.at(target)).
		asks(syn(1)).opening().on(device)
}
