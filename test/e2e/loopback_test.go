// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// Packets from outside addressed to loopback never reach a loopback forward, nor
// any other, not even where somebody has set route_localnet.
func TestLoopbackIsClosedToTheOutside(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Sysctl("net.ipv4.conf.all.route_localnet", "1")
	x := net.Host.XFWD()
	x.Add("127.0.0.1:8080/tcp+udp", "30080")
	x.Add("[::1]:8080/tcp+udp", "30080")
	x.Add("80/tcp+udp", "30080")
	servers := map[string]*lab.Echo{}
	for _, network := range networks {
		servers[network] = net.Host.Echo(network, ":30080")
	}
	for _, host := range net.HostAddr.All() {
		// Neighbours know each other: an answer from loopback could not ask.
		mustEcho(t, net.Client.MustConnect("tcp", at(host, 30080)))
	}
	injector := net.Client.Injector("eth0", net.Host, "eth0")
	capture := net.Client.Capture("eth0")
	loopback := lab.Addresses{V4: netip.MustParseAddr("127.0.0.1"), V6: netip.IPv6Loopback()}
	send := func(port uint16) {
		for _, to := range loopback.All() {
			from := net.ClientAddr.Of(to)
			injector.Send(from, to, &layers.TCP{SrcPort: 40000, DstPort: layers.TCPPort(port), Seq: 1, SYN: true, Window: 65535}, nil)
			injector.Send(from, to, &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(port)}, []byte("hello"))
		}
	}
	answers := func() (from []gopacket.Endpoint) {
		for _, p := range capture.Packets() {
			if p.Outgoing || p.TransportLayer() == nil {
				continue
			}
			if addr, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw()); addr.IsLoopback() {
				from = append(from, p.TransportLayer().TransportFlow().Src())
			}
		}
		return from
	}

	for _, port := range []uint16{8080, 80} {
		send(port)
	}
	time.Sleep(200 * time.Millisecond)
	if from := answers(); len(from) != 0 {
		t.Errorf("loopback answers the outside from ports %v", from)
	}
	if clients := servers["udp"].Clients(); len(clients) != 0 {
		t.Errorf("the server heard %v", clients)
	}
	for _, forward := range x.List() {
		if counted := forward.Counters.Forward.Packets; counted != 0 {
			t.Errorf("%+v forwarded %d packets", forward.Frontend, counted)
		}
	}

	// Where no forward has anything to do with a port, the setting does open
	// loopback: the packets above would have been answered, had they got through.
	for _, network := range networks {
		net.Host.Echo(network, ":30099")
	}
	send(30099)
	lab.Eventually(t, lab.Patience, func() error {
		if len(answers()) < 2 {
			return errors.New("no answer with route_localnet: the test does not test what it says")
		}
		return nil
	})
}
