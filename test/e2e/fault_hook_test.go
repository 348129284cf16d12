// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/xfwd/xfwd/test/lab"
)

// tearOff takes our program from one direction of a device of the host, as somebody
// does who has `bpftool link detach` or `tc filter del`.
func tearOff(t *testing.T, x *lab.XFWD, host *lab.Namespace, device, direction string) {
	t.Helper()
	ifindex := host.Index(device)
	if haveTCX() {
		detachLink(t, x, fmt.Sprintf("%d-%s", ifindex, direction))
		return
	}
	parent := map[string]uint32{"ingress": netlink.HANDLE_MIN_INGRESS, "egress": netlink.HANDLE_MIN_EGRESS}[direction]
	filters, err := host.Links().FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, parent)
	if err != nil || len(filters) != 1 {
		t.Fatalf("%s of %s has %d filters, want one: %v", direction, device, len(filters), err)
	}
	if err := host.Links().FilterDel(filters[0]); err != nil {
		t.Fatal(err)
	}
}

// detachLink detaches what is pinned as a link of that name.
func detachLink(t *testing.T, x *lab.XFWD, name string) {
	t.Helper()
	l, err := link.LoadPinnedLink(pinOf(t, x, "links/"+name), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		t.Fatal(err)
	}
}

// lastAck is more than what a TCP may delay an acknowledgement by, which is 200 ms.
const lastAck = 300 * time.Millisecond

// Where a device has lost one of its programs, nobody is answered by a wrong server,
// and status says which. Any command puts it back, and connections that were idle
// meanwhile go on.
func TestFaultProgramTornOff(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"ingress", "egress"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			for _, network := range networks {
				net.Host.Echo(network, ":30080")
			}
			x := net.Host.XFWD()
			x.Add("80/tcp+udp", "30080")
			mustBeFine(t, x)
			var idle []*lab.Conn
			for range 2 {
				for _, network := range networks {
					for _, host := range net.HostAddr.All() {
						conn := net.Client.MustConnect(network, at(host, 80))
						mustEcho(t, conn)
						idle = append(idle, conn)
					}
				}
				load := keepTalking(net, 80)
				load.mustGoOn(t, soon)
				time.Sleep(lastAck)
				tearOff(t, x, net.Host, "eth0", direction)
				mustWarn(t, x, "nothing is attached to "+direction+" of eth0", "`xfwd apply` or any `xfwd add` attaches it")
				if mode := modeOf(t, x.Status(), "eth0", direction); mode != "none" {
					t.Errorf("status says that %s is attached by %s", direction, mode)
				}
				mustBeSilent(t, load.conns)
				for _, host := range net.HostAddr.All() {
					if _, err := net.Client.Connect("tcp", at(host, 80), anyPort); err == nil {
						t.Errorf("a new connection to %v is answered, though the device has no program at %s", host, direction)
					}
				}
				x.Add("80/tcp+udp", "30080")
				mustBeFine(t, x)
				for _, conn := range idle {
					mustEcho(t, conn)
					mustSee(t, conn)
				}
				load.mustNotBeWrong(t)
				keepTalking(net, 80).mustGoOn(t, soon)
			}
		})
	}
}

// Where a device of pods has lost its program, the pods that are reached by others
// serve on.
func TestFaultProgramOfOnePodTornOff(t *testing.T) {
	t.Parallel()
	f, load, of := fleetUnderFault(t)
	tearOff(t, f.xfwd, f.Host, "pod0", "ingress")
	mustWarn(t, f.xfwd, "nothing is attached to ingress of pod0")
	mustBeSilent(t, of[0])
	mustGoOn(t, of[1], soon)
	f.mustServeOnly(t, 80, 1)
	f.publish(t, "80/tcp+udp", f.all())
	mustBeFine(t, f.xfwd)
	mustGoOn(t, of[1], soon)
	f.mustServeOnly(t, 80, 0, 1)
	load.mustNotBeWrong(t)
}

// The host's own connections are refused while the socket hooks are detached, status
// says so, and any command attaches them again.
func TestFaultSocketHooksDetached(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, hooks := range [][]string{
		{"connect4"},
		{"connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6"},
	} {
		mustBeFine(t, x)
		var old []*lab.Conn
		for _, network := range networks {
			old = append(old, net.Host.MustConnect(network, at(net.HostAddr.V4, 80)))
		}
		for _, hook := range hooks {
			detachLink(t, x, hook)
		}
		mustWarn(t, x, "connections of this host itself are not forwarded", "any `xfwd add`")
		for _, hook := range hooks {
			if mode := modeOf(t, x.Status(), "", hook); mode != "none" {
				t.Errorf("status says that %s is attached by %s", hook, mode)
			}
		}
		if _, err := net.Host.Connect("tcp", at(net.HostAddr.V4, 80), anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a connection of the host: %v, want that it is refused", err)
		}
		for _, conn := range old {
			mustEcho(t, conn)
		}
		x.Add("80/tcp+udp", "30080")
		mustBeFine(t, x)
		for _, network := range networks {
			for _, host := range net.HostAddr.All() {
				mustEcho(t, net.Host.MustConnect(network, at(host, 80)))
			}
		}
		for _, conn := range old {
			mustEcho(t, conn)
		}
	}
}
