// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// Counters are exact: packets and bytes in both directions, as on the wire,
// where a GSO packet counts its segments.
func TestCountersAreExact(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			net.Client.Offloads("eth0", offloads)
			net.Host.Offloads("eth0", offloads)
			net.Host.Bulk(":30080")
			net.Host.Echo("udp", ":30053")
			x := net.Host.XFWD()
			x.Add("80", "30080")
			x.Add("53/udp", "30053")
			for family, host := range net.HostAddr.All() {
				within(t, net, "tcp "+family, func(t *testing.T) {
					before, capture := x.Counters("80"), net.Client.Capture("eth0")
					if err := net.Client.Upload(at(host, 80), 5_000_000); err != nil {
						t.Fatal(err)
					}
					if err := net.Client.Download(at(host, 80), 5_000_000); err != nil {
						t.Fatal(err)
					}
					compareCounters(t, x, "80", before, capture, 80)
				})
				within(t, net, "udp in segments "+family, func(t *testing.T) {
					before, capture := x.Counters("53/udp"), net.Client.Capture("eth0")
					echoInSegments(t, net.Client, at(host, 53), offloads)
					compareCounters(t, x, "53/udp", before, capture, 53)
				})
				within(t, net, "udp "+family, func(t *testing.T) {
					before, capture := x.Counters("53/udp"), net.Client.Capture("eth0")
					conn := net.Client.MustConnect("udp", at(host, 53))
					for size := range 1000 {
						if err := conn.Echo(make([]byte, size)); err != nil {
							t.Fatal(err)
						}
					}
					compareCounters(t, x, "53/udp", before, capture, 53)
				})
			}
			if merged := segmented(net); merged != offloads {
				t.Errorf("GSO packets seen: %v, want %v: the test does not test what it says", merged, offloads)
			}
		})
	}
}

// compareCounters compares what a forward counted since before with what passed
// the client's device from and to a port. Closing packets may be on their way.
func compareCounters(t *testing.T, x *lab.XFWD, frontend string, before lab.Counters, capture *lab.Capture, port uint16) {
	t.Helper()
	lab.Eventually(t, lab.Patience, func() error {
		now := x.Counters(frontend)
		counted := [2]lab.Traffic{
			minus(now.Forward, before.Forward),
			minus(now.Reverse, before.Reverse),
		}
		var captured [2]lab.Traffic
		for _, p := range capture.Packets() {
			direction := portDirection(p, port)
			if direction < 0 {
				continue
			}
			wire := p.Wire()
			captured[direction].Packets += wire.Packets
			captured[direction].Bytes += wire.Bytes
		}
		if difference := cmp.Diff(captured, counted); difference != "" {
			return fmt.Errorf("captured (-) and counted (+) differ:\n%s", difference)
		}
		if captured[0].Packets == 0 || captured[1].Packets == 0 {
			return fmt.Errorf("nothing was captured")
		}
		return nil
	})
}

// portDirection is 0 for a packet to a server's port, 1 for one from it, and -1
// for any other.
func portDirection(p lab.Packet, port uint16) int {
	var source, destination uint16
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		source, destination = uint16(l.SrcPort), uint16(l.DstPort)
	case *layers.UDP:
		source, destination = uint16(l.SrcPort), uint16(l.DstPort)
	}
	switch {
	case destination == port:
		return 0
	case source == port:
		return 1
	}
	return -1
}

func minus(a, b lab.Traffic) lab.Traffic {
	return lab.Traffic{Packets: a.Packets - b.Packets, Bytes: a.Bytes - b.Bytes}
}

// segmented says whether a download travels as GSO packets.
func segmented(net *lab.Network) bool {
	capture := net.Client.Capture("eth0")
	if net.Client.Download(at(net.HostAddr.V4, 80), 1_000_000) != nil {
		return false
	}
	for _, p := range capture.Stop() {
		if p.SegmentSize != 0 {
			return true
		}
	}
	return false
}

// Connections count those that were opened, and those that live.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	net.Host.Echo("udp", ":30080")
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, network := range networks {
		within(t, net, network, func(t *testing.T) {
			words := "80/" + network
			var conns []*lab.Conn
			for range 5 {
				for _, host := range net.HostAddr.All() {
					conn := net.Client.MustConnect(network, at(host, 80))
					mustEcho(t, conn)
					conns = append(conns, conn)
				}
			}
			if got, want := x.Counters(words).Connections, (lab.Connections{Opened: 10, Active: 10}); got != want {
				t.Errorf("with 10 connections open: %+v", got)
			}
			if network == "udp" {
				return // nothing on the wire says that a UDP client is done
			}
			for _, conn := range conns[:4] {
				conn.Close()
			}
			want := lab.Connections{Opened: 10, Active: 6}
			lab.Eventually(t, 2*time.Second, func() error {
				if got := x.Counters(words).Connections; got != want {
					return fmt.Errorf("after 4 of 10 connections were closed: %+v", got)
				}
				return nil
			})
		})
	}
}

// echoInSegments sends datagrams to an echo server as one packet with segments, and
// waits for each to come back. Without offloads, not every kernel takes such a packet.
func echoInSegments(t *testing.T, client *lab.Namespace, to netip.AddrPort, offloads bool) {
	t.Helper()
	conn, err := client.Dial("udp", to, anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	setOption(t, conn, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 500)
	// Ten datagrams and a shorter one.
	_, err = conn.Write(make([]byte, 5100))
	if errors.Is(err, unix.EIO) && !offloads {
		t.Skip("this kernel segments only what a device adds checksums to")
	}
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(lab.Patience))
	for range 11 {
		if _, err := conn.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
}
