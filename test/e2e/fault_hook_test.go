// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

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
				x.TearOff("eth0", direction)
				mustWarn(t, x, "nothing is attached to "+direction+" of eth0", "`xfwd apply` or any `xfwd add` attaches it")
				if hook := hookOf(t, x.Status(), "eth0", direction); hook.Mode != "none" || !hook.Missing {
					t.Errorf("status says of a hook that is missing: %+v", hook)
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
	f.xfwd.TearOff("pod0", "ingress")
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
			x.DetachLink(hook)
		}
		mustWarn(t, x, "connections of this host itself are not forwarded", "any `xfwd add`")
		for _, hook := range hooks {
			if hook := hookOf(t, x.Status(), "", hook); hook.Mode != "none" || !hook.Missing {
				t.Errorf("status says of a hook that is missing: %+v", hook)
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
