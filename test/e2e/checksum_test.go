// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// Every packet that a client gets has right checksums, whoever computes them.
func TestChecksumsAreRight(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Client.Offloads("eth0", false)
	net.Host.Offloads("eth0", false)
	net.Host.Bulk(":30080")
	net.Host.Echo("udp", ":30080")
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	x.Add("81/udp", "30081")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			capture := net.Client.Capture("eth0")
			if err := net.Client.Download(at(host, 80), 100_000); err != nil {
				t.Error(err)
			}
			mustEcho(t, net.Client.MustConnect("udp", at(host, 80)))
			net.Client.Connect("udp", at(host, 81), anyPort) // an ICMP error comes back
			seen := map[string]int{}
			for _, p := range capture.Stop() {
				if p.Outgoing {
					continue
				}
				if p.Unfinished {
					t.Errorf("a checksum is left to the device, whose offload is off: %v", p)
				}
				for _, l := range p.Layers() {
					seen[l.LayerType().String()]++
				}
				verifyChecksums(t, p)
			}
			icmp := map[string]string{"IPv4": "ICMPv4", "IPv6": "ICMPv6"}[family]
			for _, layer := range []string{"TCP", "UDP", icmp} {
				if seen[layer] == 0 {
					t.Errorf("no %s packet was seen: the test does not test what it says", layer)
				}
			}
		})
	}
}

func verifyChecksums(t *testing.T, p lab.Packet) {
	t.Helper()
	for _, l := range p.Layers() {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := l.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
				t.Fatal(err)
			}
		}
	}
	err, wrong := p.VerifyChecksums()
	wrong = slices.DeleteFunc(wrong, func(m gopacket.ChecksumMismatch) bool {
		// UDP writes zero as all ones (RFC 768), gopacket wants zero.
		return m.Layer.LayerType() == layers.LayerTypeUDP && m.Correct == 0 && m.Actual == 0xffff
	})
	if err != nil || len(wrong) != 0 {
		t.Errorf("checksums: %v %+v in %v", err, wrong, p)
	}
}

// A UDP datagram without checksum stays without, in both directions.
func TestUDPWithoutChecksumStaysWithout(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.XFWD().Add("53/udp", "30053")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			server := net.Host.ListenUDP(at(host, 30053).String())
			client, err := net.Client.Dial("udp", at(host, 53), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			noChecksum(t, server, host)
			noChecksum(t, client, host)

			capture := net.Client.Capture("eth0")
			deadline := time.Now().Add(lab.Patience)
			server.SetDeadline(deadline)
			client.SetDeadline(deadline)
			if _, err := client.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			// The kernel drops a datagram whose checksum is wrong, and nobody could
			// make a right one out of none: arriving means that there is none still.
			_, from, err := server.ReadFromUDPAddrPort(make([]byte, 100))
			if err != nil {
				t.Fatalf("the question did not arrive: %v", err)
			}
			if _, err := server.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Read(make([]byte, 100)); err != nil {
				t.Fatalf("the answer did not arrive: %v", err)
			}
			count := 0
			for _, p := range capture.Stop() {
				if udp, ok := p.TransportLayer().(*layers.UDP); ok {
					count++
					if udp.Checksum != 0 {
						t.Errorf("checksum %#x in %v", udp.Checksum, p)
					}
				}
			}
			if count != 2 {
				t.Errorf("%d datagrams were captured, want the question and the answer", count)
			}
		})
	}
}

// noChecksum has a socket send without checksum and take what comes without.
func noChecksum(t *testing.T, conn any, family netip.Addr) {
	t.Helper()
	if family.Is4() {
		setOption(t, conn, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		return
	}
	// From <linux/udp.h>.
	const udpNoCheck6Tx, udpNoCheck6Rx = 101, 102
	setOption(t, conn, unix.IPPROTO_UDP, udpNoCheck6Tx, 1)
	setOption(t, conn, unix.IPPROTO_UDP, udpNoCheck6Rx, 1)
}
