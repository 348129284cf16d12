// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// What xfwd answers itself is made of a packet that the device may be told to
// segment or to finish the checksum of. The answer must be one packet, and leave
// nothing to the device, which would finish a quote and so spoil the checksum of
// the error around it.
func TestAnswersAreFinished(t *testing.T) {
	t.Parallel()
	for name, offloads := range map[string]bool{"offloads on": true, "offloads off": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lan := lab.New(t).Direct()
			f := &fleet{Network: lan, pods: lan.Pods(1, 1400), xfwd: lan.Host.XFWD()}
			for _, addr := range f.pods[0].Addr.All() {
				for _, network := range networks {
					f.pods[0].Echo(network, at(addr, fleetPort).String())
				}
			}
			f.Client.Offloads("eth0", offloads)
			f.Host.Offloads("eth0", offloads)
			f.publish(t, "80/tcp+udp", f.all())
			f.publish(t, "81/tcp+udp", f.all())
			f.change(t, "del", "81/tcp+udp", f.all()...)
			for family, host := range f.HostAddr.All() {
				within(t, f.Network, family, func(t *testing.T) {
					capture := f.Client.Capture("eth0")
					for _, network := range networks {
						mustRefuse(t, f.Client, network, at(host, 81))
					}
					mustReset(t, f, host)

					long := f.Client.MustConnect("udp", at(host, 80))
					discoverMTU(t, long.Conn, host)
					if _, err := long.Write(make([]byte, 1440)); err != nil {
						t.Fatal(err)
					}
					mustLearnMTU(t, long.Conn, host, 1400)

					tired := f.Client.MustConnect("udp", at(host, 80))
					setTTL(t, tired.Conn, host, 1)
					if _, err := tired.Write([]byte("far")); err != nil {
						t.Fatal(err)
					}
					if errno, from := icmpError(t, tired.Conn); errno != syscall.EHOSTUNREACH || from != host {
						t.Errorf("a datagram with a TTL of 1: %v from %v, want EHOSTUNREACH from %v", errno, from, host)
					}
					mustBeFinished(t, capture.Stop())
				})
			}
		})
	}
}

// mustReset fails the test unless a connection is reset that has lost its only
// backend, and sends more than a segment takes.
func mustReset(t *testing.T, f *fleet, host netip.Addr) {
	t.Helper()
	f.publish(t, "82", f.all())
	defer f.xfwd.Do("del", "82")
	conn := f.Client.MustConnect("tcp", at(host, 82))
	f.change(t, "del", "82", append(f.all(), "--existing", "reset")...)
	err := conn.Echo(make([]byte, 50_000))
	if err == nil {
		t.Fatal("a connection without backend goes on")
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a connection without backend: %v, want a reset", err)
	}
}

// mustBeFinished fails the test unless resets of both kinds and three kinds of
// ICMP errors have arrived, each finished and right.
func mustBeFinished(t *testing.T, packets []lab.Packet) {
	t.Helper()
	answers := map[string]int{}
	for _, p := range packets {
		kind := ""
		switch l := p.TransportLayer().(type) {
		case *layers.TCP:
			if l.RST {
				kind = map[bool]string{true: "reset of a SYN", false: "reset of a connection"}[l.ACK]
			}
		}
		if l, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			kind = l.TypeCode.String()
		}
		if l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok && l.TypeCode.Type() <= layers.ICMPv6TypeParameterProblem {
			kind = l.TypeCode.String()
		}
		if p.Outgoing || kind == "" {
			continue
		}
		answers[kind]++
		if p.Unfinished || p.SegmentSize != 0 {
			t.Errorf("left to the device: %v", p)
		}
		verifyChecksums(t, p)
	}
	if len(answers) != 5 {
		t.Errorf("the answers were %v, want five kinds", answers)
	}
}
