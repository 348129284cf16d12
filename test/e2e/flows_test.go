// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xfwd/xfwd/test/lab"
)

// flows shows each live flow once, with what the client's packets bear and what
// becomes of them; direct clients of the target are none.
func TestFlows(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--name", "web")
	x.Add(frontend(net.VIP.V4, "81"), at(net.HostAddr.V4, 30080).String())
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	var want []lab.Flow
	expect := func(network, name string, address string, port uint16, conn *lab.Conn, target lab.Endpoint, state string) {
		want = append(want, lab.Flow{
			Name:        name,
			Frontend:    lab.Frontend{Protocol: network, Address: address, Port: port, PortEnd: port, Devices: []string{}},
			Client:      endpoint(conn.Local()),
			Destination: endpoint(netip.MustParseAddrPort(conn.RemoteAddr().String())),
			Source:      endpoint(conn.Client),
			Target:      target,
			State:       state,
		})
	}
	for _, host := range net.HostAddr.All() {
		target := lab.Endpoint{Address: host.String(), Port: 30080}
		for network, state := range map[string]string{"tcp": "established", "udp": "two-way"} {
			mustEcho(t, net.Client.MustConnect(network, at(host, 30080)))
			conn := net.Client.MustConnect(network, at(host, 80))
			mustEcho(t, conn)
			expect(network, "web", "", 80, conn, target, state)
		}
	}
	conn := net.Client.MustConnect("tcp", at(net.VIP.V4, 81))
	mustEcho(t, conn)
	vip := net.VIP.V4.String()
	expect("tcp", "", vip, 81, conn, lab.Endpoint{Address: net.HostAddr.V4.String(), Port: 30080}, "established")

	// The one of a pair whose source port collides shows what the target sees.
	from := at(net.ClientAddr.V4, 40000)
	collide(t, net, "tcp", at(net.HostAddr.V4, 30080), from)
	second := collide(t, net, "tcp", at(net.HostAddr.V4, 80), from)
	expect("tcp", "web", "", 80, second, lab.Endpoint{Address: net.HostAddr.V4.String(), Port: 30080}, "established")

	got := x.Flows()
	for _, flows := range [][]lab.Flow{got, want} {
		slices.SortFunc(flows, func(a, b lab.Flow) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
	if table := x.Status().Flows; table.Established < uint64(len(want)) {
		t.Errorf("status counts %+v, there are %d", table, len(want))
	}
}

func endpoint(a netip.AddrPort) lab.Endpoint {
	return lab.Endpoint{Address: a.Addr().String(), Port: a.Port()}
}
