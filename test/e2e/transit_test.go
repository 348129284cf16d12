// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	stdnet "net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// A packet for another host that passes through is never touched, in either
// direction, though its ports are those of a forward or of its target.
func TestTransitIsNeverTouched(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	pod := net.Pods(1, 1500)[0]
	net.Client.DefaultRoutes(net.HostAddr)
	for _, each := range []struct {
		ns     *lab.Namespace
		device string
	}{{net.Client, "eth0"}, {net.Host, "eth0"}, {net.Host, "pod0"}, {pod.Namespace, "eth0"}} {
		each.ns.Offloads(each.device, false)
	}
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	x.Add("9000-9099/tcp+udp", "31000-31099")
	ports := []uint16{80, 30080, 9005, 31005}
	for _, network := range networks {
		for _, port := range ports {
			for _, addr := range pod.Addr.All() {
				pod.Echo(network, at(addr, port).String())
			}
		}
	}
	client, server := net.Client.Capture("eth0"), pod.Capture("eth0")
	for _, network := range networks {
		for _, addr := range pod.Addr.All() {
			for _, port := range ports {
				conn := net.Client.MustConnect(network, at(addr, port))
				mustEcho(t, conn)
				mustSee(t, conn)
				if conn.Server != at(addr, port) {
					t.Errorf("%s to %v reached %v", network, at(addr, port), conn.Server)
				}
				conn.Close()
			}
		}
	}
	sent, arrived := transports(client.Stop(), true), transports(server.Stop(), false)
	answered, returned := transports(server.Stop(), true), transports(client.Stop(), false)
	// Segments are never merged with offloads off, so the sequences are the same
	// but for what was on the way at the end.
	compareTransports(t, "to the other host", sent, arrived)
	compareTransports(t, "from the other host", answered, returned)
	if flows := x.Flows(); len(flows) != 0 {
		t.Errorf("transit made %d flows, such as %+v", len(flows), flows[0])
	}
	if table := x.Status().Flows; table.Established+table.Transitory != 0 {
		t.Errorf("transit is in the flow table: %+v", table)
	}
	for _, forward := range x.List() {
		if forward.Counters.Forward.Packets+forward.Counters.Reverse.Packets != 0 {
			t.Errorf("transit was counted: %+v", forward)
		}
	}
}

// A frame for another machine on the link, which a device in promiscuous mode
// sees, is not ours though its IP destination is.
func TestFramesForOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	injector := net.Client.Injector("eth0", net.Host, "eth0")
	send := func() {
		for _, host := range net.HostAddr.All() {
			from := net.ClientAddr.Of(host)
			injector.Send(from, host, &layers.TCP{SrcPort: 40000, DstPort: 80, SYN: true, Window: 65535}, nil)
			injector.Send(from, host, &layers.UDP{SrcPort: 40000, DstPort: 80}, []byte("hello"))
		}
	}
	ours := injector.Ethernet.DstMAC
	for _, other := range []string{"02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"} {
		injector.Ethernet.DstMAC, _ = stdnet.ParseMAC(other)
		send()
	}
	if flows := x.Flows(); len(flows) != 0 {
		t.Errorf("%d flows were made, such as %+v", len(flows), flows[0])
	}
	injector.Ethernet.DstMAC = ours
	send()
	lab.Eventually(t, lab.Patience, func() error {
		if flows := x.Flows(); len(flows) != 4 {
			return fmt.Errorf("the same frames for this host make %d flows, want 4", len(flows))
		}
		return nil
	})
}

// transports returns what follows the network layer, ports and checksums
// included, of the TCP and UDP packets of one direction.
func transports(packets []lab.Packet, outgoing bool) (contents [][]byte) {
	for _, p := range packets {
		if p.Outgoing != outgoing {
			continue
		}
		switch l := p.TransportLayer().(type) {
		case *layers.TCP, *layers.UDP:
			contents = append(contents, append(bytes.Clone(l.(gopacket.Layer).LayerContents()), l.LayerPayload()...))
		}
	}
	return contents
}

func compareTransports(t *testing.T, direction string, before, after [][]byte) {
	t.Helper()
	if len(before) == 0 {
		t.Fatalf("no packet went %s", direction)
	}
	passed := map[string]int{}
	for _, content := range before {
		passed[string(content)]++
	}
	for _, content := range after {
		if passed[string(content)]--; passed[string(content)] < 0 {
			t.Errorf("a packet %s arrived other than it was sent: %x", direction, content)
		}
	}
}
