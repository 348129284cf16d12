// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// stranger is a tc program of somebody else that counts the packets it sees.
type stranger struct {
	program *ebpf.Program
	count   *ebpf.Map
}

// What a tc program may return: go on to the next one, or let the packet pass
// without asking others.
const (
	tcNext = -1
	tcPass = 0
)

func newStranger(t *testing.T, verdict int32) *stranger {
	t.Helper()
	// Maps count against it before Linux 5.11.
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	count, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { count.Close() })
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "stranger", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.LoadMapPtr(asm.R1, count.FD()),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, verdict).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return &stranger{program, count}
}

func (s *stranger) seen(t *testing.T) (packets uint64) {
	t.Helper()
	if err := s.count.Lookup(uint32(0), &packets); err != nil {
		t.Fatal(err)
	}
	return packets
}

// attachment puts strangers on both sides of a device.
type attachment interface {
	// attach puts them there, replacing those that are there already.
	attach(t *testing.T, net *lab.Network, ingress, egress *stranger)
	detach(t *testing.T)
}

// byFilter attaches with a clsact qdisc and filters of the default priority.
type byFilter struct {
	net     *lab.Network
	filters []*netlink.BpfFilter
}

func (b *byFilter) attach(t *testing.T, net *lab.Network, ingress, egress *stranger) {
	t.Helper()
	b.net, b.filters = net, nil
	index := net.Host.Index("eth0")
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := net.Host.Links().QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Fatal(err)
	}
	for parent, s := range map[uint32]*stranger{netlink.HANDLE_MIN_INGRESS: ingress, netlink.HANDLE_MIN_EGRESS: egress} {
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
			},
			Fd: s.program.FD(), Name: "stranger", DirectAction: true,
		}
		if err := net.Host.Links().FilterReplace(filter); err != nil {
			t.Fatal(err)
		}
		b.filters = append(b.filters, filter)
	}
}

func (b *byFilter) detach(t *testing.T) {
	t.Helper()
	for _, filter := range b.filters {
		if err := b.net.Host.Links().FilterDel(filter); err != nil {
			t.Error(err)
		}
	}
}

// byLink attaches with tcx links.
type byLink struct{ links []link.Link }

func (b *byLink) attach(t *testing.T, net *lab.Network, ingress, egress *stranger) {
	t.Helper()
	if b.links != nil {
		for i, s := range []*stranger{ingress, egress} {
			if err := b.links[i].Update(s.program); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	for kind, s := range map[ebpf.AttachType]*stranger{ebpf.AttachTCXIngress: ingress, ebpf.AttachTCXEgress: egress} {
		var attached link.Link
		var err error
		net.Host.Do(func() {
			attached, err = link.AttachTCX(link.TCXOptions{Interface: net.Host.Index("eth0"), Program: s.program, Attach: kind})
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { attached.Close() })
		b.links = append(b.links, attached)
	}
}

func (b *byLink) detach(t *testing.T) {
	t.Helper()
	for _, l := range b.links {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	b.links = nil
}

// An unrelated tc program on the device survives our coming and going and sees
// its packets meanwhile, and ours survives theirs being replaced and removed.
func TestUnrelatedProgramsSurvive(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name     string
		by       func() attachment
		verdicts []int32
	}{
		{"filter", func() attachment { return &byFilter{} }, []int32{tcNext}},
		{"link", func() attachment { return &byLink{} }, []int32{tcNext, tcPass}},
	} {
		for _, theirsFirst := range []bool{true, false} {
			for _, verdict := range kind.verdicts {
				name := map[bool]string{true: "theirs first, ", false: "ours first, "}[theirsFirst] +
					map[int32]string{tcNext: "go on", tcPass: "pass"}[verdict]
				t.Run(kind.name+" "+name, func(t *testing.T) {
					t.Parallel()
					net := lab.New(t).Direct()
					for _, network := range networks {
						net.Host.Echo(network, ":30080")
					}
					if kind.name == "link" && !lab.HaveTCX() {
						t.Skip("this kernel has no tcx links, of which this test is")
					}
					coexist(t, net, kind.by(), theirsFirst, verdict)
				})
			}
		}
	}
}

// Two instances with roots of their own serve one namespace, each its ports, and do
// not meet: neither warns of the other, and one that is unloaded takes only itself.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	if !lab.HaveTCX() {
		t.Skip("the kernel has no tcx links, and a filter of one instance is where the other's would be")
	}
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	instances := map[uint16]*lab.XFWD{80: net.Host.XFWD(), 81: net.Host.XFWD()}
	for port, x := range instances {
		x.Add(fmt.Sprintf("%d/tcp+udp", port), "30080")
	}
	serves := func(port uint16) {
		t.Helper()
		for _, network := range networks {
			mustEcho(t, net.Client.MustConnect(network, at(net.HostAddr.V4, port)))
			mustEcho(t, net.Host.MustConnect(network, at(net.HostAddr.V6, port)))
		}
	}
	for port, x := range instances {
		serves(port)
		if status := x.Do("status").Stdout; strings.Contains(status, "warning") {
			t.Errorf("the instance of port %d warns:\n%s", port, status)
		}
	}
	instances[80].Do("unload")
	if _, err := net.Client.Connect("tcp", at(net.HostAddr.V4, 80), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("port 80 after unload: %v, want that it is refused", err)
	}
	serves(81)
	instances[80].Add("80/tcp+udp", "30080")
	serves(80)
	serves(81)
}

func coexist(t *testing.T, net *lab.Network, by attachment, theirsFirst bool, verdict int32) {
	t.Helper()
	x := net.Host.XFWD()
	ingress, egress := newStranger(t, verdict), newStranger(t, verdict)
	use := func(when string, forwarded, watched bool) {
		t.Helper()
		in, out := ingress.seen(t), egress.seen(t)
		for _, host := range net.HostAddr.All() {
			for _, network := range networks {
				port := uint16(30080)
				if forwarded {
					port = 80
				}
				conn, err := net.Client.Connect(network, at(host, port), anyPort)
				if err != nil {
					t.Fatalf("%s: %s: %v", when, network, err)
				}
				mustEcho(t, conn)
			}
		}
		if watched && (ingress.seen(t) == in || egress.seen(t) == out) {
			t.Errorf("%s: the other programs see no packets", when)
		}
	}

	if theirsFirst {
		by.attach(t, net, ingress, egress)
		x.Add("80/tcp+udp", "30080")
	} else {
		x.Add("80/tcp+udp", "30080")
		by.attach(t, net, ingress, egress)
	}
	use("both there", true, true)
	x.Do("unload")
	use("ours gone", false, true)
	x.Add("80/tcp+udp", "30080")
	use("ours back", true, true)
	ingress, egress = newStranger(t, verdict), newStranger(t, verdict)
	by.attach(t, net, ingress, egress)
	use("theirs replaced", true, true)
	by.detach(t)
	use("theirs gone", true, false)
}

// A queueing discipline of the administrator survives our coming and going.
func TestQdiscSurvives(t *testing.T) {
	t.Parallel()
	lab.Need(t, "tc")
	net := lab.New(t).Direct()
	net.Host.Run("tc", "qdisc", "replace", "dev", "eth0", "root", "handle", "7:", "pfifo", "limit", "77")
	net.Host.Run("tc", "qdisc", "add", "dev", "eth0", "clsact")
	qdiscs := func() string { return net.Host.Run("tc", "qdisc", "show", "dev", "eth0") }
	before := qdiscs()
	x := net.Host.XFWD()
	net.Host.Echo("tcp", ":30080")
	x.Add("80", "30080")
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))
	if during := qdiscs(); during != before {
		t.Errorf("with xfwd:\n%sbefore:\n%s", during, before)
	}
	x.Do("unload")
	if after := qdiscs(); after != before {
		t.Errorf("after xfwd:\n%sbefore:\n%s", after, before)
	}
}
