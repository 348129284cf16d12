// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"maps"
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/bpf"
	"github.com/xfwd/xfwd/internal/ctl"
)

// The host has a bridge, br0 with the port port0, and guests on it.
var (
	bridge     = addresses("10.2.0.1", "2001:db8:20::1")
	guest      = addresses("10.2.0.5", "2001:db8:20::5")
	otherGuest = addresses("10.2.0.6", "2001:db8:20::6")

	toGuest      = &exit{"br0", guest, bpf.XfwdNextHopWayWAY_ETHERNET}
	toOtherGuest = &exit{"br0", otherGuest, bpf.XfwdNextHopWayWAY_ETHERNET}
)

// newBridgedWorld is newWorld with the bridge.
func newBridgedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.lab.Veth(w.host, "port0", w.far, "port0", 1500)
	w.host.Bridge("br0", "port0")
	w.host.Address("br0", netip.PrefixFrom(bridge.V4, 24))
	w.host.Address("br0", netip.PrefixFrom(bridge.V6, 64))
	// Else it would be that of the port.
	link, err := w.host.Links().LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.host.Links().LinkSetHardwareAddr(link, net.HardwareAddr{2, 0, 0, 0, 0, 0xb0}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"br0", "port0"} {
		w.devices[name] = device{w.host.Index(name), w.host.MAC(name)}
	}
	for _, x := range []*exit{toGuest, toOtherGuest} {
		for _, f := range bothFamilies {
			err := w.host.Links().NeighSet(&netlink.Neigh{
				LinkIndex: w.devices["br0"].index, State: netlink.NUD_PERMANENT,
				IP: x.next.address(f).AsSlice(), HardwareAddr: x.next.mac(),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	w.change(t, ctl.Delete(nil, true), ctl.ExistingKeep)
	return w
}

// The program of a bridge's port serves what is addressed to the bridge, as the
// bridge's own program would, and nothing else.
func TestBridgePorts(t *testing.T) {
	t.Parallel()
	w := newBridgedWorld(t)
	cases := w.bridgeCases()
	for i := range cases {
		cases[i].links = []linkLayer{ethernet}
	}
	w.runCases(t, cases)
}

func (w *world) bridgeCases() []testCase {
	onPort := func(e exchange) exchange { return e.at(port).on("port0").addressed(w.mac("br0")) }
	here := through(guest.at(40000), bridge.at(80), bridge.at(30080))
	// A guest that asks for another guest is answered by way of the host.
	around := through(guest.at(31000), bridge.at(80), otherGuest.at(8080)).seenAs(bridge.at(31000)).between(toGuest, toOtherGuest)
	itself := through(guest.at(31000), bridge.at(80), guest.at(8080)).seenAs(bridge.at(31000)).between(toGuest, toGuest)
	away := through(guest.at(40000), bridge.at(80), remote.at(8080)).seenAs(second.at(chosen)).between(toGuest, toRemote)
	relays := func(c relayed) []step {
		asks := func(b body) exchange { return onPort(c.asks(b)) }
		answers := func(b body) exchange {
			if c.far.device == "br0" {
				return onPort(c.answers(b))
			}
			return c.answers(b)
		}
		return []step{
			asks(syn(1000)).opening(), answers(synAck(5000, 1001)), asks(ack(1001, 5001)), answers(data(5001, 1001, "hello")),
			asks(udp("?")).opening(), answers(udp("!")), asks(udp("?")), flows{Established: 2},
		}
	}
	fromPort := func(e exchange) exchange { return e.at(portEgress).on("port0") }
	fromBridge := func(e exchange) exchange { return e.at(bridgeEgress).on("br0") }
	answeringGuest := func(b body) exchange {
		return fromPort(leaves(between(otherGuest.at(30080), guest.at(40000), b)))
	}
	return []testCase{
		{
			name:     "an answer that netfilter sends from port to port",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				onPort(here.asks(syn(1000))).opening(), fromPort(here.answers(synAck(5000, 1001))), onPort(here.asks(ack(1001, 5001))),
				fromPort(here.answers(data(5001, 1001, "hello"))), onPort(here.asks(rst(1001))),
				onPort(here.asks(udp("?"))).opening(), fromPort(here.answers(udp("!"))), onPort(here.asks(udp("?"))),
				fromPort(here.answers(big, first(9, 24))), fromPort(here.answers(big, last(9, 24))),
				flows{Transitory: 1, Established: 1},
			},
		},
		{
			name:     "an answer that leaves by the bridge",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				onPort(here.asks(syn(1000))).opening(), fromBridge(here.answers(synAck(5000, 1001))), onPort(here.asks(ack(1001, 5001))),
				onPort(here.asks(udp("?"))).opening(), fromBridge(here.answers(udp("!"))), onPort(here.asks(udp("?"))),
				flows{Established: 2},
			},
		},
		{
			name:     "what a guest sends to another one",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				onPort(here.asks(udp("?"))).opening(),
				answeringGuest(udp("!")).stays("no-flow"),
				answeringGuest(synAck(5000, 1001)).stays("no-flow"),
				fromPort(leaves(between(guest.at(40000), otherGuest.at(80), syn(1000)))).stays("no-frontend"),
				fromPort(leaves(between(guest.at(40000), otherGuest.at(30080), udp("?")))).stays("no-frontend"),
				flows{Transitory: 1},
			},
		},
		{
			name:     "a target on this host",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				onPort(here.asks(syn(1000))).opening(), here.answers(synAck(5000, 1001)).on("br0"), onPort(here.asks(ack(1001, 5001))),
				onPort(here.asks(udp("?"))).opening(), flows{Transitory: 1, Established: 1},
			},
		},
		{name: "another guest", forwards: []string{"80/tcp+udp 10.2.0.6:8080"}, families: onlyIPv4, steps: relays(around)},
		{name: "another guest", forwards: []string{"80/tcp+udp [2001:db8:20::6]:8080"}, families: onlyIPv6, steps: relays(around)},
		{name: "the guest itself", forwards: []string{"80/tcp+udp 10.2.0.5:8080"}, families: onlyIPv4, steps: relays(itself)},
		{name: "the guest itself", forwards: []string{"80/tcp+udp [2001:db8:20::5]:8080"}, families: onlyIPv6, steps: relays(itself)},
		{name: "another network", forwards: []string{"80 remote:8080 --source masquerade"}, steps: relays(away)[:4]},
		{
			name:     "frames for others",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				onPort(here.asks(udp("?"))).addressed(otherGuest.mac()).isIgnored(),
				onPort(here.asks(udp("?"))).addressed(w.mac("port0")).isIgnored(),
				onPort(here.asks(udp("?"))).addressed(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}).isIgnored(),
				flows{},
			},
		},
		{
			name:     "packets for others",
			forwards: []string{"80/tcp+udp 30080"},
			steps: []step{
				onPort(arrives(between(guest.at(40000), client.at(80), udp("?")))).stays("not-this-host"),
				onPort(arrives(between(guest.at(40000), bridge.at(81), udp("?")))).stays("no-frontend"),
				flows{},
			},
		},
	}
}

// A packet that one program of ours has served passes the next one untouched, and
// uncounted: it bears a mark.
func TestServedOnce(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t).hastened(t)
	var mark uint16
	if err := loadSpec(t).Variables["served_mark"].Get(&mark); err != nil {
		t.Fatal(err)
	}
	unmarked := w.programs
	ask, answer := web.asks(udp("?")).opening(), web.answers(udp("!"))
	for _, c := range []struct {
		name  string
		hook  hook
		mark  uint16
		steps []step
	}{
		{"arriving", ingress, mark, []step{ask.isIgnored(), flows{}}},
		{"arriving with another value", ingress, mark + 2, []step{ask}},
		{"arriving with that of the way out", ingress, mark | 1, []step{ask}},
		{"leaving", egress, mark | 1, []step{ask, answer.isIgnored()}},
		{"leaving with another value", egress, mark + 3, []step{ask, answer}},
		{"leaving with that of the way in", egress, mark, []step{ask, answer}},
		{"leaving by a bridge", bridgeEgress, mark | 1, []step{ask, answer.at(bridgeEgress).isIgnored()}},
		{"leaving by a bridge with that of the way in", bridgeEgress, mark, []step{ask, answer.at(bridgeEgress)}},
		{"leaving by a port", portEgress, mark | 1, []step{ask, answer.at(portEgress).isIgnored()}},
		{"leaving by a port with that of the way in", portEgress, mark, []step{ask, answer.at(portEgress)}},
	} {
		w.programs = maps.Clone(unmarked)
		here := place{c.hook, ethernet}
		w.programs[here] = behind(t, unmarked[here], markedBy(c.mark)...)
		w.runCases(t, []testCase{{name: c.name, forwards: []string{"80/udp 30080"}, links: []linkLayer{ethernet}, steps: c.steps}})
	}
}

// markedBy has the packet bear a mark in skb->tc_index.
func markedBy(mark uint16) asm.Instructions {
	const tcIndex = 44 // in struct __sk_buff
	return asm.Instructions{
		asm.Mov.Imm(asm.R2, int32(mark)),
		asm.StoreMem(asm.R6, tcIndex, asm.R2, asm.Word),
	}
}
