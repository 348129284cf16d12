// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// dropped is what XDP says of a packet that nobody gets: XDP_DROP.
const dropped verdict = 1

var onlyXDP = []linkLayer{driver}

// open makes a flow to the remote machine whose next hops are known.
func open(c relayed) []step {
	return slices.Concat(c.handshake(), []step{
		c.answers(data(5001, 1001, "")), c.asks(ack(1001, 5001)),
		c.asks(udp("?")).opening(), c.answers(udp("!")), c.asks(udp("?")),
	})
}

// XDP serves what it is sure of, and no more: what the cases of all other tests
// say of devices that have it, here for each reason by itself.
func TestXDPLeavesToTC(t *testing.T) {
	c := relayed{through(client.at(31000), host.at(80), remote.at(8080)).seenAs(second.at(31000)), toRouter, toRemote}
	direct := between(router.at(31000), remote.at(8080), udp("?"))
	runCases(t, []testCase{
		{
			name:     "frames that are not for us",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
			links:    onlyXDP,
			steps: slices.Concat(open(c), []step{
				arrives(c.request(udp("?"))).addressed(net.HardwareAddr{2, 0, 0, 0, 0, 9}).stays("not-this-host"),
				arrives(c.answer(udp("!"))).addressed(net.HardwareAddr{2, 0, 0, 0, 0, 9}).stays("not-this-host").on("eth1"),
				c.asks(udp("?")).knowing(),
			}),
		},
		{
			name:     "packets of no flow",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
			links:    onlyXDP,
			steps: slices.Concat(open(c), []step{
				arrives(direct).stays("direct"),
				arrives(between(remote.at(8080), second.at(31001), udp("!"))).stays("no-flow").on("eth1"),
				arrives(between(client.at(31000), host.at(81), udp("?"))).stays("no-frontend"),
			}),
		},
		{
			name:     "a target on this host",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade", "82 30080"},
			links:    onlyXDP,
			steps: slices.Concat(open(c), through(client.at(31000), host.at(82), host.at(30080)).handshake(), []step{
				c.asks(udp("?")).knowing(),
			}),
		},
		{
			name:     "a deleted forward has flows yet, which XDP serves",
			forwards: []string{"80/tcp+udp remote:8080 --source masquerade"},
			links:    onlyXDP,
			steps: slices.Concat(open(c), []step{
				apply("81 30080"),
				c.asks(data(1001, 5001, "still here")), c.asks(data(1001, 5001, "still here")).knowing(),
				c.answers(data(5001, 1011, "so am I")), c.answers(data(5001, 1011, "so am I")).knowing(),
				flows{Established: 1},
			}),
		},
	})
}

// A device that has lost its program since the next hop was looked up cannot be
// sent to. The drop is counted.
func TestXDPWithoutADeviceToSendBy(t *testing.T) {
	runCases(t, []testCase{{
		name:     "UDP",
		forwards: []string{"80/udp remote:8080 --source masquerade"},
		links:    onlyXDP,
		steps: []step{
			toTheRemote.asks(udp("?")).opening(), toTheRemote.asks(udp("?")).knowing(),
			does(func(r *run) {
				if err := r.maps.XdpDevices.Delete(uint32(r.devices["eth1"].index)); err != nil {
					r.Fatal(err)
				}
				before := r.counted()
				e := toTheRemote.asks(udp("?"))
				e.device, e.mac = "eth0", r.mac("eth0")
				out := e.process(r, early)
				got := r.counted().since(before)
				if out.verdict != dropped || got.Reasons["no-route"] != 1 || got.Drops["no-route"] != 1 {
					r.Errorf("the verdict is %d, counted %+v", out.verdict, got)
				}
				r.embody(r)
			}),
			toTheRemote.asks(udp("?")),
		},
	}})
}

// Frames that take several buffers are served like others.
func TestXDPJumboFrames(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t)
	w.runCases(t, []testCase{{
		name:     "UDP",
		forwards: []string{"80/udp remote:8080 --source masquerade"},
		links:    onlyXDP,
		steps: []step{
			toTheRemote.asks(udp("?")).opening(), toTheRemote.answers(udp("!")), toTheRemote.asks(udp("?")),
			// The devices would take such frames.
			does(func(r *run) {
				for _, m := range []*ebpf.Map{r.maps.FlowsEstablished, r.maps.FlowsTransitory} {
					for key, flow := range r.table(m) {
						flow.Hop.Mtu = 9000
						if err := m.Update(key, flow, ebpf.UpdateExist); err != nil {
							r.Fatal(err)
						}
					}
				}
				e := toTheRemote.asks(udp(strings.Repeat("jumbo", 1600)))
				e.device, e.mac, e.fresh = "eth0", r.mac("eth0"), true
				before := r.counted()
				out := e.process(r, early)
				if out.verdict != xdpRedirected {
					r.Fatalf("the verdict is %s (%d)", out.verdict.of(early), out.verdict)
				}
				r.compare(e.wanted(r), out.frame)
				r.verify(out.frame, e.out.known(r.chosen))
				if got := r.counted().since(before).Traffic.ForwardBytes; got != uint64(len(out.frame)) {
					r.Errorf("%d bytes are counted, want %d", got, len(out.frame))
				}
			}),
		},
	}})
}
