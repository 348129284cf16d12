// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// Verdict is what becomes of a frame.
type Verdict int

const (
	// Pass: the stack and other programs go on with it.
	Pass Verdict = iota
	Drop
	// Send: it leaves by a device.
	Send
	// Bounce: it leaves by the device that it came by, under XDP.
	Bounce
)

func (v Verdict) String() string { return [...]string{"pass", "drop", "send", "bounce"}[v] }

// Input is a frame that meets a program.
type Input struct {
	Frame  []byte
	Device string
	// Raw frames begin with their IP header.
	Raw bool
	// Others: the frame's link-layer address is another machine's.
	Others bool
	// SegmentSize and Segments are those of a GSO packet; 0 segments if nobody
	// has counted them.
	SegmentSize, Segments int
}

// Output is what a program makes of it.
type Output struct {
	Verdict Verdict
	Frame   []byte
	// Answered: the frame is one that xfwd has made, with an IPv4 id of its own.
	Answered bool
	// Fragmented: the frame is the last of several fragments, which come once more by the
	// device that the packet came by.
	Fragmented bool
	Counted    Counted
}

// Counted is what a packet is counted as.
type Counted struct {
	// Forward is whose traffic or drop it is; traffic is the Backend's, too.
	Forward *Forward
	Backend *Backend
	Opened  bool
	// Packets and Bytes are traffic, of the direction to the client if Reverse.
	Packets, Bytes uint64
	Reverse        bool
	// Reason is why it is no traffic; a drop is the forward's, too.
	Reason string
	Drop   bool
}

// passes are the reasons to leave a packet as it is.
var passes = []string{
	"not-ip", "malformed", "vlan", "no-frontend", "not-this-host", "no-flow", "direct", "fragment-early",
	"icmp-unrelated", "no-local-address", "martian",
}

// Ingress is tc's program for frames that come in.
func (m *Model) Ingress(in Input) Output {
	if in.Others {
		return passed(in, "not-this-host")
	}
	return m.serve(in, true)
}

// Egress is tc's program for frames that the host sends.
func (m *Model) Egress(in Input) Output { return m.serve(in, false) }

func passed(in Input, reason string) Output {
	return Output{Verdict: Pass, Frame: in.Frame, Counted: Counted{Reason: reason}}
}

func (m *Model) serve(in Input, arriving bool) Output {
	p, reason := parse(in.Frame, in.Raw, in.SegmentSize != 0)
	if reason == "malformed" && arriving {
		if f, hides := m.hidesFrontend(in, p); hides {
			return Output{Verdict: Drop, Frame: in.Frame, Counted: Counted{Forward: f, Reason: "unreadable", Drop: true}}
		}
	}
	if reason != "" {
		return passed(in, reason)
	}
	if in.SegmentSize != 0 {
		p.size = in.SegmentSize + p.headers - p.network
		p.mayFragment = false
	}
	d := m.decide(p, arrival{in.Device, arriving, in.Raw})
	if d.follows == nil {
		return dismiss(in, p, d, arriving)
	}
	return m.apply(in, p, d, arrival{in.Device, arriving, in.Raw})
}

// dismiss is for a packet that follows no flow.
func dismiss(in Input, p packet, d decision, arriving bool) Output {
	if slices.Contains(passes, d.reason) {
		return passed(in, d.reason)
	}
	out := Output{Verdict: Drop, Frame: in.Frame, Counted: Counted{Forward: d.forward, Reason: d.reason, Drop: true}}
	if !arriving {
		return out
	}
	if a := answer(in.Frame, p, d.reason, d.mtu, in.Raw); a != nil {
		out.Verdict, out.Frame, out.Answered = Send, a, true
	}
	return out
}

// apply gives a packet the tuple of its flow, and sends it on if the flow's other
// end is elsewhere.
func (m *Model) apply(in Input, p packet, d decision, a arrival) Output {
	s := *d.follows
	onward := a.arriving && s.Elsewhere
	out := Output{Verdict: Pass, Frame: slices.Clone(in.Frame), Counted: Counted{Forward: d.forward, Backend: s.Backend, Opened: d.opened}}
	if mtu := m.Host.Devices[s.hop().device].MTU; onward && p.size > mtu {
		out.Verdict, out.Frame, out.Fragmented = Send, lastFragment(in.Frame, p, mtu), true
		return out
	}
	if onward && p.flags&flagSYN != 0 {
		m.clampMSS(out.Frame, p, s, a)
	}
	switch {
	case p.kind == icmpError:
		translateError(out.Frame, p, s.to(), onward)
		out.Counted.Reason = "icmp-translated"
	case d.forward == nil:
		translate(out.Frame, p, s.to(), onward)
		out.Counted.Reason = "direct"
	default:
		translate(out.Frame, p, s.to(), onward)
		out.Counted.Packets, out.Counted.Bytes = onWire(in, p)
		out.Counted.Reverse = s.direction == reverse
	}
	if !onward {
		return out
	}
	out.Verdict = Send
	h := s.hop()
	device := m.Host.Devices[h.device]
	if in.Raw {
		// Room for the header that the kernel writes.
		out.Frame = append(make([]byte, ethernetHeader), out.Frame...)
		return out
	}
	if d.renewed && h.known && device.XDP && !device.Pair {
		h.receivedAt = [6]byte(in.Frame)
	}
	// The kernel writes the addresses of a next hop that was just looked up, for so
	// it learns that the neighbour is in use.
	if !d.renewed || h.known && device.Pair {
		writeLink(out.Frame, h, device)
	}
	return out
}

func writeLink(frame []byte, h *hop, device Device) {
	copy(frame, h.neighbour[:])
	copy(frame[6:], device.MAC[:])
}

// onWire is how many packets of how many bytes the wire carries: each segment of a
// GSO packet has all headers again.
func onWire(in Input, p packet) (packets, bytes uint64) {
	segments := 1
	if in.SegmentSize != 0 {
		segments = in.Segments
		if segments == 0 {
			segments = (len(in.Frame) - p.headers + in.SegmentSize - 1) / in.SegmentSize
		}
	}
	return uint64(segments), uint64(len(in.Frame) + (segments-1)*p.headers)
}

// XDP is the program in the driver of a device. What it does not serve meets
// Ingress as it came.
func (m *Model) XDP(in Input) Output {
	const leftToTC = "left-to-tc"
	p, reason := parse(in.Frame, false, false)
	if reason != "" || p.kind != transport || p.first || p.network != ethernetHeader || p.options || p.flags&flagSYN != 0 {
		return passed(in, leftToTC)
	}
	to := m.use(p.tuple.Protocol, p.tuple.Destination.Port())
	if !m.use(p.tuple.Protocol, p.tuple.Source.Port()).elsewhere && !to.frontend && !to.lingering {
		return passed(in, leftToTC)
	}
	s, found := m.flows[p.tuple]
	if !found || !m.xdpServes(s, in, p) || m.track(s, p) {
		return passed(in, leftToTC)
	}
	out := Output{Verdict: Send, Frame: slices.Clone(in.Frame)}
	translate(out.Frame, p, s.to(), true)
	h := s.hop()
	writeLink(out.Frame, h, m.Host.Devices[h.device])
	if h.device == in.Device {
		out.Verdict = Bounce
	}
	out.Counted = Counted{Forward: s.Forward, Backend: s.Backend, Packets: 1, Bytes: uint64(len(in.Frame)), Reverse: s.direction == reverse}
	return out
}

// xdpServes says whether a flow stands, and all is known that its packet takes.
func (m *Model) xdpServes(s side, in Input, p packet) bool {
	h := s.hop()
	device := m.Host.Devices[h.device]
	return s.Elsewhere && m.current(s.Flow) && s.arrivals[s.direction] == in.Device && m.fresh(h) && device.XDP && !device.Pair &&
		[6]byte(in.Frame) == h.receivedAt && p.size <= device.MTU && p.ttl > 1
}
