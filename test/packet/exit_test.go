// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
)

// exit is a way out of the host: a device, and who is next there.
type exit struct {
	device string
	next   machine
	way    bpf.XfwdNextHopWay
}

// The ways out of the host.
var (
	toRouter       = &exit{"eth0", router, bpf.XfwdNextHopWayWAY_ETHERNET}
	toBeside       = &exit{"eth0", neighbour, bpf.XfwdNextHopWayWAY_ETHERNET}
	toRemote       = &exit{"eth1", remote, bpf.XfwdNextHopWayWAY_ETHERNET}
	toBesideRemote = &exit{"eth1", besideRemote, bpf.XfwdNextHopWayWAY_ETHERNET}
	toBesidePod    = &exit{"pod0", besidePod, bpf.XfwdNextHopWayWAY_PEER}
	toUnknown      = &exit{"eth1", unknown, bpf.XfwdNextHopWayWAY_NEIGHBOUR}
	toPod          = &exit{"pod0", pod, bpf.XfwdNextHopWayWAY_PEER}
)

// freshness is how long a next hop is used, and patience how long a silent neighbour is waited
// for: in tests longer than in config.h, for a busy machine takes seconds from step to step.
const (
	freshness = 10 * time.Second
	patience  = 14 * time.Second
)

// mac is the machine's link-layer address, if it is a neighbour.
func (m machine) mac() net.HardwareAddr {
	return slices.Concat(net.HardwareAddr{2, 0}, m.V4.AsSlice())
}

// isWritten says whether the link-layer addresses are: else the kernel's
// neighbour table is asked for them, which keeps the neighbour in it.
func (x exit) isWritten(fresh bool) bool {
	return x.way == bpf.XfwdNextHopWayWAY_PEER || x.way == bpf.XfwdNextHopWayWAY_ETHERNET && fresh
}

// isForXDP says whether XDP may send there.
func (x exit) isForXDP() bool {
	return x.way == bpf.XfwdNextHopWayWAY_ETHERNET && slices.Contains(hardware, x.device)
}

// onward wants the packet sent on, with one hop less.
func (e exchange) onward(x *exit) exchange {
	e.exit, e.verdict = x, redirected
	oneHopOn(&e.out.shape)
	return e
}

// asking wants the kernel asked for the next hop, and knowing wants it known.
func (e exchange) asking() exchange  { asked := true; e.asked = &asked; return e }
func (e exchange) knowing() exchange { asked := false; e.asked = &asked; return e }

// recall looks up whether the next hop of the packet's flow is known and may be
// used.
func (e *exchange) recall(r *run) {
	r.Helper()
	e.wasEstablished = r.isEstablished(e.in)
	flow := r.flowOf(e.in.known(r.chosen))
	fresh := !e.opens && r.isFresh(flow)
	if e.asked != nil && fresh == *e.asked {
		r.Errorf("%v: the next hop is known: %v, want %v: %+v", e.hook, fresh, !*e.asked, flow.Hop)
	}
	e.receivedAt = flow.Hop.ReceivedAt
	// Only the kernel can put a link-layer header where there is none yet.
	e.fresh = fresh && (r.link != raw || flow.Hop.Way == uint8(bpf.XfwdNextHopWayWAY_DEVICE))
}

// isFresh says whether a flow's next hop may be used.
func (r *run) isFresh(flow bpf.XfwdFlow) bool {
	r.Helper()
	settings, err := r.set.Settings()
	if err != nil {
		r.Fatal(err)
	}
	return flow.Hop.Ifindex != 0 && flow.Hop.Way != uint8(bpf.XfwdNextHopWayWAY_NEIGHBOUR) &&
		flow.Hop.Generation == settings.RouteGeneration && r.now()-time.Duration(flow.Hop.Resolved) <= freshness
}

// checkHop checks what the flow remembers of its next hop.
func (e exchange) checkHop(r *run) {
	r.Helper()
	got := r.flowOf(e.in.known(r.chosen)).Hop
	settings, err := r.set.Settings()
	if err != nil {
		r.Fatal(err)
	}
	if age := r.now() - time.Duration(got.Resolved); age > freshness && e.exit.way != bpf.XfwdNextHopWayWAY_NEIGHBOUR {
		r.Errorf("the next hop was looked up %v ago, and used", age)
	}
	// Its type has no name, so it is written field by field.
	want := bpf.XfwdFlow{}.Hop
	want.Resolved, want.Generation = got.Resolved, settings.RouteGeneration
	want.Ifindex, want.Mtu, want.Way = uint32(r.devices[e.exit.device].index), 1500, uint8(e.exit.way)
	if e.exit.device == "pod0" {
		want.Mtu = podMTU
	}
	// Where there are none it does not matter what stands there.
	want.DestinationAddress, want.SourceAddress = got.DestinationAddress, got.SourceAddress
	if e.exit.way == bpf.XfwdNextHopWayWAY_ETHERNET || e.exit.way == bpf.XfwdNextHopWayWAY_PEER {
		want.DestinationAddress, want.SourceAddress = [6]uint8(e.exit.next.mac()), [6]uint8(r.mac(e.exit.device))
	}
	want.ReceivedAt = got.ReceivedAt
	if e.exit.isForXDP() {
		want.Xdp = 1
		if r.link != raw && !e.fresh {
			want.ReceivedAt = [6]uint8(e.mac)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("the next hop (-want +got):\n%s", diff)
	}
}

// keyOf is the key of the flow entry that a packet follows.
func (r *run) keyOf(p packet) bpf.XfwdTuple {
	if e, isError := p.body.(icmpError); isError {
		return reversed(tupleOf(e.quote, r.family))
	}
	return tupleOf(p, r.family)
}

// flowOf is that entry, if there is one.
func (r *run) flowOf(p packet) bpf.XfwdFlow {
	key := r.keyOf(p)
	var flow bpf.XfwdFlow
	if r.maps.FlowsEstablished.Lookup(key, &flow) != nil {
		_ = r.maps.FlowsTransitory.Lookup(key, &flow)
	}
	return flow
}

// isEstablished says whether the flow that a packet follows is.
func (r *run) isEstablished(p packet) bool {
	return r.maps.FlowsEstablished.Lookup(r.keyOf(p.known(r.chosen)), new(bpf.XfwdFlow)) == nil
}

// now is the clock of the programs.
func (r *run) now() time.Duration {
	r.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		r.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// meetXDP has the packet meet the XDP program first, and says whether that serves
// it. It must do so if the packet leaves by a device that has XDP, too, the next
// hop is known, and the frame is addressed like that for which it was looked up;
// all others it must leave to tc as they are, and so those that confirm a flow or
// close it.
func (e exchange) meetXDP(r *run) bool {
	r.Helper()
	before := r.counted()
	out := e.process(r, early)
	got := r.counted().since(before)
	if !e.isForXDP() || r.isEstablished(e.in) != e.wasEstablished {
		if frame := e.frame(r); out.verdict != pass || !bytes.Equal(out.frame, frame) {
			r.Errorf("XDP: the verdict is %v (%d), want pass", out.verdict.of(early), out.verdict)
			r.compare(frame, out.frame)
		}
		if len(got.Reasons) != 1 || got.Reasons[leftToTC] != 1 || got.Traffic != (counted{}).Traffic {
			r.Errorf("XDP: counted %+v, want %s", got, leftToTC)
		}
		return false
	}
	want := xdpRedirected
	if e.exit.device == e.device {
		want = bounce
	}
	if out.verdict != want {
		r.Errorf("XDP: the verdict is %v (%d), want %v", out.verdict.of(early), out.verdict, want.of(early))
	}
	e.check(r, out.frame, got)
	return true
}

// isForXDP says whether XDP serves the packet.
func (e exchange) isForXDP() bool {
	if e.exit == nil || !e.fresh || !e.exit.isForXDP() || len(e.in.options) > 0 || string(e.receivedAt[:]) != string(e.mac) {
		return false
	}
	_, isError := e.in.body.(icmpError)
	s, isTCP := e.in.body.(segment)
	return !isError && !(isTCP && strings.Contains(s.flags, "S")) && !e.in.fragment.isPart()
}
