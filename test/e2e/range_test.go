// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strconv"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// Ranges of equal length map port by port.
func TestRangeMapsPortByPort(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("9000-9005/tcp+udp", "31000-31005")
	for _, network := range networks {
		for _, offset := range []uint16{0, 3, 5} {
			net.Host.Echo(network, ":"+strconv.Itoa(31000+int(offset)))
			for _, host := range net.HostAddr.All() {
				conn := net.Client.MustConnect(network, at(host, 9000+offset))
				mustEcho(t, conn)
				mustSee(t, conn)
				if conn.Server.Port() != 31000+offset {
					t.Errorf("%s %v reached port %d", network, at(host, 9000+offset), conn.Server.Port())
				}
			}
		}
		// The neighbours of a range are not in it.
		net.Host.Echo(network, ":30999")
		net.Host.Echo(network, ":31006")
		for _, port := range []uint16{8999, 9006} {
			if _, err := net.Client.Connect(network, at(net.HostAddr.V4, port), anyPort); err == nil {
				t.Errorf("%s port %d, outside of the range, is forwarded", network, port)
			}
		}
	}
}

// A range to one port maps all to it.
func TestRangeToOnePort(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("9000-9005/tcp+udp", "30080")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		for port := uint16(9000); port <= 9005; port++ {
			mustEcho(t, net.Client.MustConnect(network, at(net.HostAddr.V4, port)))
			mustEcho(t, net.Client.MustConnect(network, at(net.HostAddr.V6, port)))
		}
	}
}

// A range does not cost one map entry a port in time that a user notices: all
// ports of a VIP take little longer to publish than one.
func TestEveryPortOfAnAddress(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.Add("81", "30080") // loads
	// CPU time, because the machine runs other tests at the same time.
	limit := 2*x.Add("82", "30080").CPU + 100*time.Millisecond
	for _, vip := range net.VIP.All() {
		result := x.Add(frontend(vip, "1-65535")+"/tcp+udp", "30080")
		if result.CPU > limit {
			t.Errorf("adding 65,535 ports took %v of CPU time, more than %v", result.CPU, limit)
		}
		for _, network := range networks {
			for _, port := range []uint16{1, 2, 255, 256, 30080, 32768, 65534, 65535} {
				conn := net.Client.MustConnect(network, at(vip, port))
				mustEcho(t, conn)
				mustSee(t, conn)
			}
		}
	}
}

// A single port beats a range.
func TestSinglePortBeatsRange(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("9000-9005", "31000-31005")
	x.Add("9003", "30080")
	net.Host.Echo("tcp", ":30080")
	net.Host.Echo("tcp", ":31004")
	for port, want := range map[uint16]uint16{9003: 30080, 9004: 31004} {
		conn := net.Client.MustConnect("tcp", at(net.HostAddr.V4, port))
		if conn.Server.Port() != want {
			t.Errorf("port %d reached %v, want port %d", port, conn.Server, want)
		}
	}
}
