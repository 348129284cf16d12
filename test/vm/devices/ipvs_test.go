// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"net/netip"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// IPVS spreads a port of the host over pods: the port behind a forward as well as one
// beside it. Nobody who uses either, or both at once, notices the other.
func TestIPVS(t *testing.T) {
	t.Parallel()
	needVM(t, "IPVS")
	lab.Need(t, "ipvsadm", "sh")
	net := lab.New(t).Direct()
	pods := net.Pods(2, 1500)
	for _, host := range net.HostAddr.All() {
		addIPVS(net.Host, []netip.AddrPort{at(host, 30080), at(host, 9090)}, pods)
	}
	for _, network := range networks {
		for _, pod := range pods {
			// Bound to addresses, to tell which pod was reached.
			for _, addr := range pod.Addr.All() {
				pod.Echo(network, at(addr, 8080).String())
			}
		}
		net.Host.Echo(network, ":30081")
	}
	x := net.Host.XFWD()
	x.Add("80-81/tcp+udp", "30080-30081")
	for _, network := range networks {
		for family, host := range net.HostAddr.All() {
			t.Run(network+" "+family, func(t *testing.T) {
				net.Lab.Within(t)
				for _, port := range []uint16{80, 9090} {
					reached := map[netip.AddrPort]bool{}
					for range 4 {
						conn := mustConnectAsSeen(t, net.Client, network, at(host, port))
						reached[conn.Server] = true
					}
					if len(reached) != 2 || reached[at(host, port)] {
						t.Errorf("port %d reached %v, want both pods", port, reached)
					}
				}
				published := mustConnectAsSeen(t, net.Client, network, at(host, 80))
				if local := mustConnectAsSeen(t, net.Client, network, at(host, 81)); local.Server.Port() != 30081 {
					t.Errorf("port 81 reached %v, want the host", local.Server)
				}
				mustEcho(t, net.Host.MustConnect(network, at(host, 80)))
				if network == "udp" {
					if err := published.Echo(make([]byte, 4000)); err != nil {
						t.Errorf("in fragments: %v", err)
					}
				}
			})
		}
	}
	mustTellApart(t, net.Client, net.HostAddr)
	for _, network := range networks {
		// Each family: four, one that stays, one of the next port, one of the host itself,
		// and one that is told apart from one to IPVS.
		if opened := x.Counters("80-81/" + network).Connections.Opened; opened != 2*8 {
			t.Errorf("%s: %d connections were counted, want 16", network, opened)
		}
	}
	mustDropOnly(t, x)
}

// mustConnectAsSeen connects from any port and fails the test unless the server sees
// that client.
func mustConnectAsSeen(t *testing.T, client *lab.Namespace, network string, to netip.AddrPort) *lab.Conn {
	t.Helper()
	conn := client.MustConnect(network, to)
	mustEcho(t, conn)
	if conn.Client != conn.Local() {
		t.Errorf("%s to %v: the server saw %v as the client, which is %v", network, to, conn.Client, conn.Local())
	}
	return conn
}
