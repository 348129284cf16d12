// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// source is a step: until the end of the case the backends are told of clients
// in this way, and if they must be masqueraded, by the address of a machine, or
// by that of the device if there is none.
func source(how bpf.XfwdBackendSource, as ...machine) step {
	return does(func(r *run) {
		r.Helper()
		r.changeBackends(func(b *bpf.XfwdBackend) {
			b.Source, b.Masquerade = uint8(how), bpf.XfwdAddress{}
			for _, m := range as {
				b.Masquerade = kernelAddress(m.address(r.family))
			}
		})
	})
}

// Ways in which backends are told of their clients.
const (
	kept        = bpf.XfwdBackendSourceBACKEND_KEEPS_SOURCE
	keptAcross  = bpf.XfwdBackendSourceBACKEND_KEEPS_SOURCE_ACROSS
	masqueraded = bpf.XfwdBackendSourceBACKEND_MASQUERADES
)

// withoutAddress is a step: until the end of the case the programs know no
// address of some devices; of the host, if there is none.
func withoutAddress(names ...string) step {
	return does(func(r *run) {
		r.Helper()
		for _, name := range names {
			ifindex := uint32(r.devices[name].index)
			var before bpf.XfwdDevice
			if err := r.maps.Devices.Lookup(ifindex, &before); err != nil {
				r.Fatal(err)
			}
			changed := before
			changed.Primary4, changed.Primary6 = bpf.XfwdAddress{}, bpf.XfwdAddress{}
			put := func(d bpf.XfwdDevice) {
				if err := r.maps.Devices.Update(ifindex, d, ebpf.UpdateExist); err != nil {
					r.Fatal(err)
				}
			}
			put(changed)
			r.Cleanup(func() { put(before) })
		}
		if len(names) == 0 {
			settings(func(s *xfwd.Settings) { s.Primary4, s.Primary6 = netip.Addr{}, netip.Addr{} }).take(r)
		}
	})
}

// Whose address a target elsewhere sees.
func TestSources(t *testing.T) {
	toRemoteAs := func(seen endpoint) relayed {
		return through(client.at(31000), host.at(80), remote.at(8080)).seenAs(seen).between(toRouter, toRemote)
	}
	throughAll := func(c relayed) []step {
		return slices.Concat(c.handshake(), []step{
			c.asks(data(1001, 5001, "a question")), c.answers(data(5001, 1011, "an answer")),
			c.asks(udp("a question")).opening(), c.answers(udp("an answer")), c.asks(unchecked("?")), c.answers(unchecked("!")),
			flows{Established: 2},
		})
	}
	forwards := []string{"80/tcp+udp remote:8080 --source masquerade"}
	// From beyond eth1, as what is on it sees it.
	fromThere := func(near *exit, seen machine) relayed {
		return through(near.next.at(31000), second.at(80), remote.at(8080)).seenAs(seen.at(31000)).between(near, toRemote)
	}
	itself := through(remote.at(8080), second.at(8080), remote.at(8080)).seenAs(second.at(chosen)).between(toRemote, toRemote)
	runCases(t, []testCase{
		{
			name:     "the client's, if it is to be kept",
			forwards: forwards,
			steps:    append([]step{source(kept)}, throughAll(toRemoteAs(client.at(31000)))...),
		},
		{
			name:     "the client's, if it came by another device",
			forwards: forwards,
			steps:    append([]step{source(keptAcross)}, throughAll(toRemoteAs(client.at(31000)))...),
		},
		{
			name:     "that of the device, if it is to be masqueraded",
			forwards: forwards,
			steps:    append([]step{source(masqueraded)}, throughAll(toRemoteAs(second.at(31000)))...),
		},
		{
			name:     "that which is to be used for the backend",
			forwards: forwards,
			steps:    append([]step{source(masqueraded, vip)}, throughAll(toRemoteAs(vip.at(31000)))...),
		},
		{
			name:     "the host's, if the device has none",
			forwards: forwards,
			steps:    append([]step{source(masqueraded), withoutAddress("eth1")}, throughAll(toRemoteAs(host.at(31000)))...),
		},
		{
			name:     "none, if the host has none",
			forwards: forwards,
			steps: []step{
				source(masqueraded), withoutAddress("eth1"), withoutAddress(),
				arrives(between(client.at(31000), host.at(80), syn(1))).stays("no-local-address"),
				flows{},
			},
		},
		{
			name:     "not the client's, if it came by the device that leads to the backend",
			forwards: forwards,
			steps:    append([]step{source(keptAcross)}, throughAll(fromThere(toBesideRemote, second))...),
		},
		{
			name:     "the client's all the same, if it is to be kept",
			forwards: forwards,
			steps:    append([]step{source(kept)}, throughAll(fromThere(toBesideRemote, besideRemote))...),
		},
		{
			name:     "not a backend's own, whatever it is to see",
			forwards: forwards,
			steps:    append([]step{source(kept)}, throughAll(fromThere(toRemote, second))...),
		},
		{
			name:     "not that of a container that asks for itself",
			forwards: []string{"80/tcp+udp pod:8080"},
			steps: throughAll(through(pod.at(31000), gateway.at(80), pod.at(8080)).seenAs(gateway.at(31000)).
				between(toPod, toPod)),
		},
		{
			name:     "with another port, if the backend asks for itself from its own",
			forwards: []string{"8080/tcp+udp remote:8080"},
			steps:    append(itself.handshake(), itself.answers(data(5001, 1001, "an answer")), flows{Established: 1}),
		},
		{
			name:     "not that of a container on another's network",
			forwards: []string{"80/tcp+udp pod:8080"},
			steps: throughAll(through(besidePod.at(31000), gateway.at(80), pod.at(8080)).seenAs(gateway.at(31000)).
				between(toBesidePod, toPod)),
		},
	})
}

// Which port a target elsewhere sees, of a client that is masqueraded.
func TestMasqueradePorts(t *testing.T) {
	from := func(m machine, port int) relayed {
		return through(m.at(port), host.at(80), remote.at(8080)).between(toRouter, toRemote)
	}
	keeps := func(port int) testCase {
		c := from(client, port).seenAs(second.at(port))
		return testCase{steps: []step{c.asks(udp("?")).opening(), c.answers(udp("!"))}}
	}
	loses := func(port int) testCase {
		c := from(client, port).seenAs(second.at(chosen))
		return testCase{steps: []step{c.asks(udp("?")).opening(), c.answers(udp("!"))}}
	}
	// The kernel gives 32768 to 60999 to the host's own sockets.
	var cases []testCase
	for name, c := range map[string]testCase{
		"below the host's own ports it is kept":    keeps(32767),
		"the first of the host's own is not":       loses(32768),
		"the last of the host's own is not":        loses(60999),
		"above the host's own ports it is kept":    keeps(61000),
		"a privileged port is kept":                keeps(1023),
		"the first of all is kept":                 keeps(1),
		"the first that is not privileged is kept": keeps(1024),
		"one of the masquerade range is kept":      keeps(masqueradeFirst),
		"the last port of all is kept":             keeps(65535),
	} {
		c.name, c.forwards = name, []string{"80/udp remote:8080 --source masquerade"}
		cases = append(cases, c)
	}
	// Many clients come from one port, of which the first keeps it. That a lot of the wrong range is right
	// twenty times, is a chance of 1 in 10^6 at most.
	severalFrom := func(port int) []step {
		c := from(client, port).seenAs(second.at(port))
		steps := []step{c.asks(udp("?")).opening()}
		for i := range 20 {
			other := from(addresses(fmt.Sprintf("198.51.100.%d", 100+i), fmt.Sprintf("2001:db8:51::%x", 0x100+i)), port).seenAs(second.at(chosen))
			steps = append(steps, does(func(r *run) { r.chosen = chosen }), other.asks(udp("?")).opening(), other.answers(udp("!")))
		}
		return append(steps, c.answers(udp("!")))
	}
	first, again := from(client, 31000).seenAs(second.at(31000)), from(router, 31000).seenAs(second.at(chosen))
	otherTarget := through(router.at(31000), host.at(81), remote.at(8081)).seenAs(second.at(31000)).between(toRouter, toRemote)
	cases = append(cases,
		testCase{
			name:     "one that another client's flow has is not kept",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
			steps: slices.Concat(first.handshake(), again.handshake(), []step{
				first.asks(data(1001, 5001, "from the first")), first.answers(data(5001, 1015, "to the first")),
				again.asks(data(1001, 5001, "from the second")), again.answers(data(5001, 1016, "to the second")),
				flows{Established: 2},
			}),
		},
		testCase{
			name:     "one that a flow to another target has is kept",
			forwards: []string{"80 remote:8080 --source masquerade", "81 remote:8081 --source masquerade"},
			steps:    slices.Concat(first.handshake(), otherTarget.handshake()),
		},
		testCase{
			name:     "one of another client's flow that has closed, and may be remembered, is not kept",
			forwards: []string{"80 remote:8080 --source masquerade"},
			steps:    slices.Concat(first.handshake(), first.goodbye(), again.handshake()),
		},
		testCase{
			name:     "one of the same client's flow that has closed is kept",
			forwards: []string{"80 remote:8080 --source masquerade", "81 remote:8080 --source masquerade"},
			steps: slices.Concat(first.handshake(), first.goodbye(),
				through(client.at(31000), host.at(81), remote.at(8080)).between(toRouter, toRemote).seenAs(second.at(31000)).handshake()),
		},
		testCase{
			name:     "instead of one from 600 to 1023 there is another of these",
			forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps:    severalFrom(800),
		},
		testCase{
			name:     "instead of one from 512 to 599 there is one from 600 to 1023",
			forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps:    severalFrom(599),
		},
		testCase{
			name:     "instead of one below 512 there is another of these",
			forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps:    severalFrom(511),
		},
		testCase{
			name:     "a privileged port that the kernel gives to the host's own sockets is not kept",
			forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps: []step{
				settings(func(s *xfwd.Settings) { s.Ephemeral = xfwd.PortRange{First: 550, Last: 60999} }),
				// Chance chooses from 600 on, so it never comes to this one.
				from(client, 550).seenAs(second.at(chosen)).asks(udp("?")).opening(),
				from(client, 550).seenAs(second.at(chosen)).answers(udp("!")),
			},
		},
		testCase{
			name:     "the only one left is found, and then there is none",
			forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps: []step{
				settings(func(s *xfwd.Settings) { s.Masquerade = xfwd.PortRange{First: 20000, Last: 20001} }),
				from(client, 20000).seenAs(second.at(20000)).asks(udp("?")).opening(),
				from(client, 40000).seenAs(second.at(20001)).asks(udp("?")).opening(),
				arrives(from(client, 40001).request(udp("?"))).isDropped("no-source-port"),
				flows{Transitory: 2},
				from(client, 20000).seenAs(second.at(20000)).asks(udp("?")),
				from(client, 40000).seenAs(second.at(20001)).answers(udp("!")),
			},
		},
		testCase{
			name:     "a port is given again when its flow has timed out",
			forwards: []string{"80/udp remote:8080 --source masquerade"},
			steps: []step{
				settings(func(s *xfwd.Settings) { s.Masquerade = xfwd.PortRange{First: 20000, Last: 20000} }),
				from(client, 40000).seenAs(second.at(20000)).asks(udp("?")).opening(),
				arrives(from(client, 40001).request(udp("?"))).isDropped("no-source-port"),
				evict(func(entry) bool { return true }),
				from(client, 40001).seenAs(second.at(20000)).asks(udp("?")).opening(),
			},
		},
	)
	runCases(t, cases)
}
