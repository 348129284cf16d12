// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// With it the cases are a benchmark, too: after its last step each has its last packet
// again, as often as that.
var packetTimes = flag.Int("packet.times", 0, "how often the last packet of each case is repeated, to take its time")

// timingRounds is how often a time is taken, of which the least disturbed counts.
const timingRounds = 5

// met is a packet that has met a program.
type met struct {
	exchange
	hook hook
}

// timing is what a packet took.
type timing struct {
	met
	verdict verdict
	// alone is a packet's time, without what a test run itself takes.
	alone time.Duration
	// steady: each time it was counted like the first time, but for the flow that it
	// may have opened then. It tells nothing of others, such as those that use up
	// what may be answered.
	steady bool
}

// time has the packet met again. What a program has made of it is taken back before
// each time, by a program in front; with nothing behind that, it tells what the rest
// takes.
func (m met) time(r *run, times int) timing {
	r.Helper()
	program, nothing := r.programs[place{m.hook, r.link}], r.null
	kind := ebpf.ProgramSpec{Type: ebpf.SchedCLS}
	if m.hook == early {
		kind = kindOfXDP(r, program)
		nothing = nullLikeXDP(r, kind)
	}
	floor, whole := m.input(r, nothing, kind), m.input(r, program, kind)
	r.repeat(floor, 1)
	r.repeat(whole, 1)
	before := r.counted()
	fastest := [2]time.Duration{time.Hour, time.Hour}
	t := timing{met: m}
	for range timingRounds {
		for i, in := range []input{floor, whole} {
			var took time.Duration
			took, t.verdict = r.repeat(in, times)
			fastest[i] = min(fastest[i], took)
		}
	}
	t.alone = fastest[1] - fastest[0]
	once := m.counted(r)
	once.Traffic.Opened = 0
	t.steady = r.counted().since(before).isTimes(once, uint64(timingRounds*times))
	return t
}

// repeat runs a program many times, and returns what one of them took.
func (r *run) repeat(in input, times int) (took time.Duration, came verdict) {
	r.Helper()
	in.repeat = times
	r.host.Do(func() {
		begin := time.Now()
		out, err := r.processHere(in)
		if err != nil {
			r.Fatalf("%v, again: %v", in.hook, err)
		}
		took, came = time.Since(begin)/time.Duration(times), out.verdict
	})
	return took, came
}

// isTimes says whether all that was counted is so many times that.
func (c counted) isTimes(once counted, times uint64) bool {
	for _, counts := range []map[string]uint64{once.Reasons, once.Drops} {
		for reason := range counts {
			counts[reason] *= times
		}
	}
	t := &once.Traffic
	for _, n := range []*uint64{&t.ForwardPackets, &t.ForwardBytes, &t.ReversePackets, &t.ReverseBytes} {
		*n *= times
	}
	return c.Traffic == once.Traffic && maps.Equal(c.Reasons, once.Reasons) && maps.Equal(c.Drops, once.Drops)
}

// input is for runs of a program that gets the same frame each time, whatever it makes
// of it.
func (m met) input(r *run, p *ebpf.Program, kind ebpf.ProgramSpec) input {
	r.Helper()
	in := input{hook: m.hook, frame: m.frame(r), device: m.device, gsoSize: m.gsoSize, gsoSegments: m.gsoSegments}
	length := int32(len(in.frame))
	frames, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(length), MaxEntries: 1})
	if err != nil {
		r.Fatalf("%v", err)
	}
	r.Cleanup(func() { frames.Close() })
	if err := frames.Put(uint32(0), in.frame); err != nil {
		r.Fatalf("%v", err)
	}
	stored := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.LoadMapValue(asm.R3, frames.FD(), 0),
		asm.Mov.Imm(asm.R4, length),
	}
	if m.hook == early {
		in.program = behindAs(r, p, kind, append(stored, asm.FnXdpStoreBytes.Call())...)
		return in
	}
	const tcIndex = 44 // in struct __sk_buff; the programs know by it what they have served
	before := asm.Instructions{asm.StoreImm(asm.R6, tcIndex, 0, asm.Word)}
	if m.answered { // by a packet of another length; others may be GSO packets, which this would end
		before = append(before, asm.Mov.Imm(asm.R2, length), asm.Mov.Imm(asm.R3, 0), asm.FnSkbChangeTail.Call())
	}
	before = append(before, stored...)
	in.program = behindAs(r, p, kind, append(before, asm.Mov.Imm(asm.R5, 0), asm.FnSkbStoreBytes.Call())...)
	return in
}

// timings are those of all cases.
var timings struct {
	sync.Mutex
	byCase   map[string]timing
	unsteady int
}

// timeLast takes the time of the last packet of a case, if times are wanted. Devices
// without a link layer have the same programs, with fewer bytes to look at.
func (r *run) timeLast(name string) {
	r.Helper()
	if *packetTimes == 0 || r.link == raw || r.last == nil {
		return
	}
	t := r.last.time(r, *packetTimes)
	timings.Lock()
	defer timings.Unlock()
	if !t.steady {
		timings.unsteady++
		return
	}
	if timings.byCase == nil {
		timings.byCase = make(map[string]timing)
	}
	timings.byCase[name] = t
}

// printTimings prints a table of all cases, the fastest first, if times were taken.
func printTimings(w io.Writer) error {
	if *packetTimes == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NS/PACKET\tHOOK\tVERDICT\tCOUNTED\tCASE")
	names := slices.SortedFunc(maps.Keys(timings.byCase), func(a, b string) int {
		return cmp.Or(cmp.Compare(timings.byCase[a].alone, timings.byCase[b].alone), cmp.Compare(a, b))
	})
	for _, name := range names {
		t := timings.byCase[name]
		fmt.Fprintf(table, "%d\t%v\t%s\t%s\t%s\n", t.alone.Nanoseconds(), t.hook, t.verdict.of(t.hook), cmp.Or(t.reason, "traffic"), name)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d have a last packet that is not the same each time, and so no figure\n", timings.unsteady)
	return err
}

// What takes the times of packets has them served each time, as the first time.
func TestTimings(t *testing.T) {
	t.Parallel()
	w := borrowWorld(t)
	for _, l := range []linkLayer{ethernet, driver} {
		if l == driver && !w.xdp {
			continue
		}
		for _, f := range bothFamilies {
			w.start(t, f, []string{"80/udp remote:8080 --source masquerade"})
			r := &run{TB: t, world: w, family: f, link: l, chosen: chosen}
			toTheRemote.asks(udp("?")).opening().take(r)
			toTheRemote.asks(udp("?")).knowing().take(r)
			if got := r.last.time(r, 10); !got.steady || got.verdict != map[bool]verdict{false: redirected, true: xdpRedirected}[l == driver] {
				t.Errorf("%v, %v: the verdict is %s, and steady %v", f, l, got.verdict.of(got.hook), got.steady)
			}
		}
	}
}
