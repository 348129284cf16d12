// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"

	xfwd "github.com/xfwd/xfwd/internal/maps"
)

// run is a case in one family, on one kind of link.
type run struct {
	testing.TB
	*world
	family family
	link   linkLayer
	// chosen is the port that xfwd has chosen in place of a client's, or `chosen`
	// as long as it has not.
	chosen int
	// evicted is how many entries of the flow table the test has taken, as the LRU may;
	// crowded is set where the LRU may itself.
	evicted xfwd.Entries
	crowded bool
	// unpaired is set while a flow may lack an entry that the kernel has taken.
	unpaired bool
	// last is the packet that came last.
	last *met
}

// input is what a program is given.
type input struct {
	hook    hook
	program *ebpf.Program
	frame   []byte
	device  string
	// gsoSize is the payload of each of gsoSegments segments, if it is not 0; of
	// as many as are needed, if these are 0.
	gsoSize, gsoSegments int
	// checkChecksum has the kernel check the sum that it keeps of the packet.
	checkChecksum bool
	// repeat runs the program so many times on what it has made of the frame; 0 is
	// once.
	repeat int
}

// output is what comes of it.
type output struct {
	verdict verdict
	frame   []byte
}

// process runs a program in the host's namespace.
func (w *world) process(in input) (out output, err error) {
	w.host.Do(func() { out, err = w.processHere(in) })
	return out, err
}

// processHere is process for a thread that is in that namespace.
func (w *world) processHere(in input) (output, error) {
	ifindex := uint32(w.devices[in.device].index)
	o := ebpf.RunOptions{
		Data:    in.frame,
		DataOut: make([]byte, len(in.frame)+1024),
		Context: skBuff{Ifindex: ifindex, GSOSize: uint32(in.gsoSize), GSOSegs: uint32(in.gsoSegments)},
		Repeat:  uint32(in.repeat),
	}
	if in.hook == early {
		o.Context = xdpMD{DataEnd: uint32(len(in.frame)), IngressIfindex: ifindex}
	}
	if in.checkChecksum {
		o.Flags = w.checksum
	}
	result, err := in.program.Run(&o)
	return output{verdict(result), o.DataOut}, err
}

// mac is the Ethernet address of a device.
func (w *world) mac(device string) net.HardwareAddr { return w.devices[device].mac }

// leftToTC is the reason for which XDP does nothing with a packet.
const leftToTC = "left-to-tc"

// compare fails the test unless a frame is what was wanted.
func (r *run) compare(want, got []byte) {
	r.Helper()
	if string(want) == string(got) {
		return
	}
	r.Errorf("the packet is not as expected:\nwant %s\ngot  %s", r.dump(want), r.dump(got))
}

func (r *run) dump(frame []byte) string {
	s := fmt.Sprintf("% x", frame)
	for _, l := range r.link.decode(frame).Layers() {
		s += "\n\t" + gopacket.LayerString(l)
	}
	return s
}

// mustPass runs the programs on a frame, which they must leave alone; tc for a
// reason.
func (r *run) mustPass(frame []byte, reason string) {
	r.Helper()
	if r.link == driver {
		r.mustEnd(early, frame, pass, leftToTC)
	}
	for _, h := range []hook{ingress, egress} {
		r.mustEnd(h, frame, next, reason)
	}
}

// mustEnd runs a program on a frame, which must not be changed, and which must be
// counted for a reason and for nothing else.
func (r *run) mustEnd(h hook, frame []byte, want verdict, reason string) {
	r.Helper()
	before := r.counted()
	out, err := r.process(input{hook: h, program: r.programs[place{h, r.link}], frame: frame, device: "eth0"})
	if err != nil {
		r.Fatalf("%v: %v", h, err)
	}
	if out.verdict != want {
		r.Errorf("%v: the verdict is %v, want %v", h, out.verdict.of(h), want.of(h))
	}
	r.compare(frame, out.frame)
	if got := r.counted().since(before).Reasons; len(got) != 1 || got[reason] != 1 {
		r.Errorf("%v: counted %v, want %s", h, got, reason)
	}
}
