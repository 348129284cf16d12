// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/bpf"
	xfwd "github.com/xfwd/xfwd/internal/maps"
	"github.com/xfwd/xfwd/test/model"
)

// sending is a frame that meets the programs of a hook.
type sending struct {
	hook hook
	link linkLayer
	model.Input
}

// verdicts are what the programs return.
var verdicts = map[bool]map[verdict]model.Verdict{
	false: {next: model.Pass, drop: model.Drop, redirected: model.Send},
	true:  {pass: model.Pass, dropped: model.Drop, xdpRedirected: model.Send, bounce: model.Bounce},
}

// send has a frame meet the programs and the model, XDP first where there is one.
func (c *contest) send(s sending) error {
	if s.link == driver && s.hook == ingress && s.SegmentSize == 0 {
		s.hook = early
		passedUp, err := c.meet(s)
		if err != nil || !passedUp {
			return err
		}
		s.hook = ingress
	}
	_, err := c.meet(s)
	return err
}

// meet has a frame meet one program and the model, and compares.
func (c *contest) meet(s sending) (passedUp bool, err error) {
	if s.Raw && promisesIP(s.Frame) {
		return false, nil
	}
	out, err := c.processHere(input{
		hook: s.hook, program: c.programs[place{s.hook, s.link}], frame: s.Frame, device: s.Device,
		gsoSize: s.SegmentSize, gsoSegments: s.Segments,
	})
	if errors.Is(err, unix.EINVAL) && len(s.Frame) < shortestRun {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%v: %w", s, err)
	}
	if monotonic()-c.synced >= uint64(slack) {
		return false, errStalled
	}
	before := c.tally
	if err := c.look(); err != nil {
		return false, err
	}
	got := c.tally.since(before)
	c.refusal = refusalIn(out.frame, got.reason())
	var want model.Output
	switch s.hook {
	case early:
		want = c.model.XDP(s.Input)
	case ingress:
		want = c.model.Ingress(s.Input)
	default:
		want = c.model.Egress(s.Input)
	}
	c.note(sent{s, want})
	switch {
	case want.Answered && s.Raw:
		// For the kernel it is no IP packet, as the test run takes its first bytes for
		// an Ethernet header, so the program cannot make the answer.
		want.Verdict = model.Drop
	case want.Fragmented && s.Raw:
		// No more can it make fragments.
		want.Verdict, want.Counted.Reason, want.Counted.Drop = model.Drop, "rewrite", true
	case want.Answered:
		learnID(want.Frame, out.frame)
	}
	return want.Verdict == model.Pass, c.differs(s, want, out, got)
}

// promisesIP says whether an Ethernet header in the first bytes would say that IP
// follows. The test run takes those of any packet for one, and a packet without a link
// layer, in which they are addresses, would be one thing to the kernel and another to the
// programs.
func promisesIP(frame []byte) bool {
	if len(frame) < 14 {
		return false
	}
	etherType := layers.EthernetType(binary.BigEndian.Uint16(frame[12:]))
	return etherType == layers.EthernetTypeIPv4 || etherType == layers.EthernetTypeIPv6
}

// differs compares what came out, and what was counted.
func (c *contest) differs(s sending, want model.Output, out output, got tally) error {
	verdict, known := verdicts[s.hook == early][out.verdict]
	if !known || verdict != want.Verdict {
		return fmt.Errorf("%v:\nthe verdict is %d (%v), the model's is %v\nmodel: %+v\ncounted: %v", s, out.verdict, verdict, want.Verdict, want.Counted, got)
	}
	// What is dropped may have been on the way to becoming an answer.
	if verdict != model.Drop && string(out.frame) != string(want.Frame) {
		return fmt.Errorf("%v:\nout % x\nmodel's % x\nmodel: %+v", s, out.frame, want.Frame, want.Counted)
	}
	counted := tallyOf(want.Counted)
	if !maps.Equal(counted.Traffic, got.Traffic) || !maps.Equal(counted.Backends, got.Backends) || !maps.Equal(counted.Reasons, got.Reasons) {
		return fmt.Errorf("%v: counted (-model +programs):\n%s", s, cmp.Diff(counted, got))
	}
	return nil
}

func (s sending) String() string {
	what := fmt.Sprintf("%v on %s (%v)", s.hook, s.Device, s.link)
	if s.SegmentSize != 0 {
		what += fmt.Sprintf(", %d segments of %d", s.Segments, s.SegmentSize)
	}
	return fmt.Sprintf("%s, % x", what, s.Frame[:min(len(s.Frame), 110)])
}

// shortestRun is the length from which on every kernel runs a test: some want the
// IP header that the Ethernet header promises.
const shortestRun = 14 + 40

// sent is a frame that the programs and the model have agreed about.
type sent struct {
	sending
	model.Output
}

func (s sent) String() string {
	return fmt.Sprintf("%v: %v %s", s.sending, s.Verdict, s.Counted.Reason)
}

// learnID gives an answer that the model expects the IPv4 id of the real one.
func learnID(want, got []byte) {
	const ipv4 = 4<<4 | 5
	for _, network := range []int{0, 14, 18, 22} {
		link := network == 0 || network >= 14 && len(want) > network && binary.BigEndian.Uint16(want[max(0, network-2):]) == 0x0800
		if !link || len(want) < network+20 || len(got) < network+20 || want[network] != ipv4 {
			continue
		}
		ip := want[network : network+20]
		copy(ip[4:6], got[network+4:])
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
		return
	}
}

// tally is what is counted, by forward, by backend and by reason. What is zero is left
// out.
type tally struct {
	Traffic, Backends map[uint32]xfwd.Counters
	Reasons           map[string]uint64
}

// lastContestForward is the highest id that a forward of a contest gets.
const lastContestForward = 24

// reasonNames are the names that users see, by the number of the reason.
var reasonNames []string

// learnReasons finds the names out: it counts each reason as often as its number
// says.
func learnReasons(set *xfwd.Set, reasons *ebpf.Map) {
	cpus, err := ebpf.PossibleCPU()
	must(err)
	reasonNames = make([]string, reasons.MaxEntries())
	for number := range reasonNames {
		counts := make([]uint64, cpus)
		counts[0] = uint64(number)
		must(reasons.Put(uint32(number), counts))
	}
	passes, drops, err := set.Reasons()
	must(err)
	for _, names := range []map[string]uint64{passes, drops} {
		for name, number := range names {
			reasonNames[number] = name
		}
	}
}

// batch reads the first values of a per-CPU array.
func batch[V any](m *ebpf.Map, count int) ([][]V, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	keys, all := make([]uint32, count), make([]V, count*cpus)
	values := make([][]V, count)
	for i := range values {
		values[i] = all[i*cpus : (i+1)*cpus]
	}
	var cursor ebpf.MapBatchCursor
	_, err = m.BatchLookup(&cursor, keys, all, nil)
	if errors.Is(err, ebpf.ErrNotSupported) { // of such maps, before Linux 5.13
		for i := range values {
			if err := m.Lookup(uint32(i), &values[i]); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, err
	}
	return values, nil
}

// look reads what the programs have counted.
func (c *contest) look() error {
	t := tally{Reasons: make(map[string]uint64)}
	var err error
	if t.Traffic, err = traffic(c.maps.Counters, lastContestForward); err != nil {
		return err
	}
	if t.Backends, err = traffic(c.maps.BackendCounters, lastBackend); err != nil {
		return err
	}
	reasons, err := batch[uint64](c.maps.Reasons, len(reasonNames))
	if err != nil {
		return err
	}
	for reason, counts := range reasons {
		for _, n := range counts {
			t.Reasons[reasonNames[reason]] += n
		}
	}
	c.tally = t
	return nil
}

// traffic reads counters, all CPUs together, up to a last id.
func traffic(m *ebpf.Map, last int) (map[uint32]xfwd.Counters, error) {
	perCPU, err := batch[bpf.XfwdCounters](m, last+1)
	if err != nil {
		return nil, err
	}
	traffic := make(map[uint32]xfwd.Counters)
	for id, counters := range perCPU {
		var sum xfwd.Counters
		for _, k := range counters {
			sum.ForwardPackets += k.ForwardPackets
			sum.ForwardBytes += k.ForwardBytes
			sum.ReversePackets += k.ReversePackets
			sum.ReverseBytes += k.ReverseBytes
			sum.Opened += k.Opened
		}
		if sum != (xfwd.Counters{}) {
			traffic[uint32(id)] = sum
		}
	}
	return traffic, nil
}

// since is what was counted since a look before.
func (t tally) since(before tally) tally {
	return tally{
		Traffic:  trafficSince(t.Traffic, before.Traffic),
		Backends: trafficSince(t.Backends, before.Backends),
		Reasons:  difference(t.Reasons, before.Reasons),
	}
}

func trafficSince(all, before map[uint32]xfwd.Counters) map[uint32]xfwd.Counters {
	since := make(map[uint32]xfwd.Counters)
	for id, now := range all {
		was := before[id]
		if now == was {
			continue
		}
		since[id] = xfwd.Counters{
			ForwardPackets: now.ForwardPackets - was.ForwardPackets,
			ForwardBytes:   now.ForwardBytes - was.ForwardBytes,
			ReversePackets: now.ReversePackets - was.ReversePackets,
			ReverseBytes:   now.ReverseBytes - was.ReverseBytes,
			Opened:         now.Opened - was.Opened,
		}
	}
	return since
}

// reason is the one that was counted, if any.
func (t tally) reason() string {
	for reason := range t.Reasons {
		return reason
	}
	return ""
}

// tallyOf is what the model says is counted.
func tallyOf(c model.Counted) tally {
	t := tally{
		Traffic:  make(map[uint32]xfwd.Counters),
		Backends: make(map[uint32]xfwd.Counters),
		Reasons:  make(map[string]uint64),
	}
	var traffic xfwd.Counters
	if c.Opened {
		traffic.Opened = 1
	}
	if c.Reverse {
		traffic.ReversePackets, traffic.ReverseBytes = c.Packets, c.Bytes
	} else {
		traffic.ForwardPackets, traffic.ForwardBytes = c.Packets, c.Bytes
	}
	if traffic != (xfwd.Counters{}) {
		t.Traffic[c.Forward.ID], t.Backends[c.Backend.ID] = traffic, traffic
	}
	if c.Reason != "" {
		t.Reasons[c.Reason] = 1
	}
	return t
}

// remembered is a flow as both have it.
type remembered struct {
	Target                           xfwd.Tuple
	Forward, Backend                 uint32
	Established, Answered, Elsewhere bool
	FinForward, FinReverse, Reset    bool
}

// errStalled: this process had to wait for so long that time itself made a
// difference.
var errStalled = errors.New("the machine was busy with something else")

// compareAll compares everything that is remembered: all flows, how long they have
// been idle, and what the balances count.
func (c *contest) compareAll() error {
	if err := c.wait(0); err != nil {
		return err
	}
	got := make(map[xfwd.Tuple]remembered)
	err := c.set.Flows(func(f xfwd.Flow) bool {
		got[f.Client] = remembered{
			f.Target, f.Forward, f.Backend, f.Established, f.Answered, f.Elsewhere, f.FinForward, f.FinReverse, f.Reset,
		}
		return true
	})
	if err != nil {
		return err
	}
	want := make(map[xfwd.Tuple]remembered)
	for _, f := range c.model.Flows() {
		r := remembered{
			Target: tupleFrom(f.Target), Established: f.Established, Answered: f.Answered, Elsewhere: f.Elsewhere,
			FinForward: f.FinForward(), FinReverse: f.FinReverse(), Reset: f.Reset(),
		}
		if f.Forward != nil {
			r.Forward, r.Backend = f.Forward.ID, f.Backend.ID
		}
		want[tupleFrom(f.Client)] = r
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		return fmt.Errorf("flows (-model +programs):\n%s", diff)
	}
	if err := c.compareBalances(); err != nil {
		return err
	}
	if err := c.compareAffinities(); err != nil {
		return err
	}
	if err := c.accountFor(xfwd.Entries{}); err != nil {
		return err
	}
	return c.compareEntries()
}

// compareAffinities compares which backends the clients of a forward stay with, those that have confirmed a flow and all
// others. What a forward or a backend before has left behind is nothing to the model.
func (c *contest) compareAffinities() error {
	for i, m := range []*ebpf.Map{c.maps.Affinities, c.maps.NewAffinities} {
		all, err := dump[bpf.XfwdAffinityKey, bpf.XfwdAffinity](m)
		if err != nil {
			return err
		}
		for _, f := range c.model.Forwards {
			want, got := make(map[bpf.XfwdAddress]uint32), make(map[bpf.XfwdAddress]uint32)
			for client, b := range c.model.Affinities(f)[i] {
				want[kernelAddress(client)] = b.ID
			}
			for key, a := range all {
				var b bpf.XfwdBackend
				if err := c.maps.Backends.Lookup(a.Backend, &b); err != nil {
					return err
				}
				if key.Owner == f.ID && b.Generation == a.Generation && b.State != uint8(xfwd.BackendGone) {
					got[key.Client] = a.Backend
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("affinities of forward %d in %v (-model +programs):\n%s", f.ID, m, diff)
			}
		}
	}
	return nil
}

// compareBalances compares whose turn it is, and how many connections backends
// have.
func (c *contest) compareBalances() error {
	for _, f := range c.model.Forwards {
		var turn uint64
		if err := c.maps.Turns.Lookup(f.ID, &turn); err != nil {
			return err
		}
		if uint32(turn) != f.Turn {
			return fmt.Errorf("the turn of forward %d is %d, the model's %d", f.ID, turn, f.Turn)
		}
		if f.Balance != xfwd.BalanceLeastConnections {
			continue
		}
		for _, b := range f.Backends {
			var count int64
			if err := c.maps.BackendConnections.Lookup(b.ID, &count); err != nil {
				return err
			}
			if want := c.model.Connections(b); count != int64(want) {
				return fmt.Errorf("backend %s of forward %d has %d connections, the model's %d", b.Place, f.ID, count, want)
			}
		}
	}
	return nil
}

// tupleFrom is a tuple of the model as package maps has it, to which :: is no
// address.
func tupleFrom(t model.Tuple) xfwd.Tuple {
	for _, a := range []*netip.AddrPort{&t.Source, &t.Destination} {
		if a.Addr() == netip.IPv6Unspecified() {
			*a = netip.AddrPortFrom(netip.Addr{}, a.Port())
		}
	}
	return xfwd.Tuple(t)
}

// compareEntries checks that each flow has both of its entries, and when both were
// last seen.
func (c *contest) compareEntries() error {
	established, err := dump[bpf.XfwdTuple, bpf.XfwdFlow](c.maps.FlowsEstablished)
	if err != nil {
		return err
	}
	transitory, err := dump[bpf.XfwdTuple, bpf.XfwdFlow](c.maps.FlowsTransitory)
	if err != nil {
		return err
	}
	for _, f := range c.model.Flows() {
		entries := transitory
		if f.Established {
			entries = established
		}
		for i, key := range []model.Tuple{f.Client, f.Target.Reversed()} {
			entry := entries[keyOf(key)]
			if got, want := known(saidBy(entry)), known(f.Said(i == 1)); f.Client.Protocol == unix.IPPROTO_TCP && got != want {
				return fmt.Errorf("packets of flow %v from %v have said %+v, the model's %+v", f.Client, key.Source, got, want)
			}
			got, want := c.synced-entry.LastSeen, uint64(min(c.model.Age(f), oldest))
			if got != want {
				return fmt.Errorf("flow %v has been idle for %v, the model's for %v", f.Client, time.Duration(got), time.Duration(want))
			}
		}
	}
	return pairs(established, transitory)
}

// known is without the numbers that nobody may look at.
func known(s model.Said) model.Said {
	if !s.HasNext {
		s.Next = 0
	}
	if !s.HasAcknowledged {
		s.Acknowledged = 0
	}
	if !s.HasFIN {
		s.FIN = 0
	}
	return s
}

// saidBy is what a flow entry knows of the numbers of its packets.
func saidBy(entry bpf.XfwdFlow) model.Said {
	has := func(what bpf.XfwdFlowSent) bool { return entry.Said.Sent&uint8(what) != 0 }
	return model.Said{
		Next: entry.Said.Next, HasNext: has(bpf.XfwdFlowSentFLOW_SENT_SEQUENCE),
		Acknowledged: entry.Said.Acknowledged, HasAcknowledged: has(bpf.XfwdFlowSentFLOW_SENT_ACK),
		FIN: entry.Said.Fin, HasFIN: has(bpf.XfwdFlowSentFLOW_SENT_FIN), FINFirst: has(bpf.XfwdFlowSentFLOW_SENT_FIN_FIRST),
		LastAck: has(bpf.XfwdFlowSentFLOW_SENT_LAST_ACK), Reset: has(bpf.XfwdFlowSentFLOW_SENT_RESET), SYN: has(bpf.XfwdFlowSentFLOW_SENT_SYN),
	}
}
