// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// awaitDrop repeats something until a packet is dropped for a reason.
func awaitDrop(t *testing.T, x *lab.XFWD, reason string, do func()) {
	t.Helper()
	before := x.Status().Drops[reason]
	lab.Eventually(t, lab.Patience, func() error {
		do()
		if drops := x.Status().Drops; drops[reason] == before {
			return fmt.Errorf("no packet was dropped for %s: %v", reason, drops)
		}
		return nil
	})
}

// A neighbour of the client can send what seems to be a backend's answer, or another
// client's packet, and knows the ports. Neither gets through.
func TestForgedSources(t *testing.T) {
	t.Parallel()
	s := lab.New(t).TwoArmed(1)
	server := s.Servers[0]
	const port, frontend, backend = 31000, 53, 5353
	s.Host.Sysctl("net.ipv4.conf.eth0.rp_filter", "1")
	server.Echo("udp", fmt.Sprint(":", backend))
	x := s.Host.XFWD()
	x.Add(fmt.Sprint(frontend, "/udp"), netip.AddrPortFrom(server.Addr.V4, backend).String(), "--source", "masquerade")

	to := netip.AddrPortFrom(s.HostAddr.V4, frontend)
	conn, err := s.Client.Connect("udp", to, netip.AddrPortFrom(s.ClientAddr.V4, port))
	if err != nil {
		t.Fatal(err)
	}
	wire := s.Client.Injector("eth0", s.Host, "eth0")
	awaitDrop(t, x, "wrong-device", func() {
		wire.Send(server.Addr.V4, s.HostSide.V4, &layers.UDP{SrcPort: backend, DstPort: port}, []byte("forged"))
	})
	awaitDrop(t, x, "spoofed", func() {
		wire.Send(server.Addr.V4.Next(), s.HostAddr.V4, &layers.UDP{SrcPort: port, DstPort: frontend}, []byte("forged"))
	})
	// What was forged would come before the true answer.
	if err := conn.Echo([]byte("true")); err != nil {
		t.Error(err)
	}
}

// The sysctl may be set when xfwd runs already.
func TestForgedSourcesOnceTheyAreFiltered(t *testing.T) {
	t.Parallel()
	s := lab.New(t).TwoArmed(1)
	x := s.Host.XFWD()
	x.Add("53/udp", netip.AddrPortFrom(s.Servers[0].Addr.V4, 53).String(), "--source", "masquerade")
	s.Host.Sysctl("net.ipv4.conf.all.rp_filter", "2")
	x.Add("54/udp", "5454")
	wire := s.Client.Injector("eth0", s.Host, "eth0")
	nowhere := netip.MustParseAddr("192.0.2.77")
	awaitDrop(t, x, "spoofed", func() {
		wire.Send(nowhere, s.HostAddr.V4, &layers.UDP{SrcPort: 31000, DstPort: 53}, []byte("forged"))
	})
}

// A segment in fragments of eight bytes does not say what it is. It does not reach the
// host's own service behind the frontend.
func TestTinyFragments(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":80")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	wire := net.Client.Injector("eth0", net.Host, "eth0")
	awaitDrop(t, x, "unreadable", func() {
		wire.SendLayers(&layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, Id: 7, Flags: layers.IPv4MoreFragments,
			SrcIP: net.ClientAddr.V4.AsSlice(), DstIP: net.HostAddr.V4.AsSlice(),
		}, gopacket.Payload{0x9c, 0x40, 0, 80, 0, 0, 0, 1})
	})
}
