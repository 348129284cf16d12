// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// Fragments follow their first fragment, and are counted like other packets:
// datagrams of several times the MTU, in both directions.
func TestFragmentedDatagrams(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			net.Client.Offloads("eth0", offloads)
			net.Host.Offloads("eth0", offloads)
			net.Host.Echo("udp", ":30053")
			x := net.Host.XFWD()
			x.Add("53/udp", "30053")
			for family, host := range net.HostAddr.All() {
				within(t, net, family, func(t *testing.T) {
					before, capture := x.Counters("53/udp"), net.Client.Capture("eth0")
					conns := []*lab.Conn{
						net.Client.MustConnect("udp", at(host, 53)),
						net.Client.MustConnect("udp", at(host, 53)),
					}
					for i := range 50 {
						for _, conn := range conns {
							if err := conn.Echo(make([]byte, 4000+i*80)); err != nil {
								t.Fatal(err)
							}
							mustSee(t, conn)
						}
					}
					var captured [2]lab.Traffic
					fragments := 0
					for _, p := range capture.Stop() {
						if !isUDP(p) {
							continue
						}
						if isFragment(p) {
							fragments++
						}
						direction := 0
						if !p.Outgoing {
							direction = 1
						}
						wire := p.Wire()
						captured[direction].Packets += wire.Packets
						captured[direction].Bytes += wire.Bytes
					}
					if fragments < 2*2*50*3 {
						t.Errorf("%d fragments: the test does not test what it says", fragments)
					}
					after := x.Counters("53/udp")
					counted := [2]lab.Traffic{
						minus(after.Forward, before.Forward),
						minus(after.Reverse, before.Reverse),
					}
					if difference := cmp.Diff(captured, counted); difference != "" {
						t.Errorf("captured (-) and counted (+) differ:\n%s", difference)
					}
				})
			}
		})
	}
}

// isUDP says whether a packet is UDP or a fragment of it.
func isUDP(p lab.Packet) bool {
	switch l := p.NetworkLayer().(type) {
	case *layers.IPv4:
		return l.Protocol == layers.IPProtocolUDP
	case *layers.IPv6:
		if f, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment); ok {
			return f.NextHeader == layers.IPProtocolUDP
		}
		return l.NextHeader == layers.IPProtocolUDP
	}
	return false
}

func isFragment(p lab.Packet) bool {
	if l, ok := p.NetworkLayer().(*layers.IPv4); ok {
		return l.Flags&layers.IPv4MoreFragments != 0 || l.FragOffset != 0
	}
	return p.Layer(layers.LayerTypeIPv6Fragment) != gopacket.Layer(nil)
}
