// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// A forged ICMP error says that packets to a backend are too big. The kernel believes it for what the host itself sends,
// but not for what it forwards; no more do we.
func TestForgedPathMTU(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ip")
	site := lab.New(t).TwoArmed(2)
	server, intruder := site.Servers[0], site.Servers[1]
	server.Echo("tcp", ":8080")
	server.Echo("udp", ":8080")
	x := site.Host.XFWD()
	for _, backend := range server.Addr.All() {
		x.Add(netip.AddrPortFrom(site.HostAddr.Of(backend), 80).String()+"/tcp+udp",
			netip.AddrPortFrom(backend, 8080).String(), "--source", "masquerade")
	}
	for family, backend := range server.Addr.All() {
		t.Run(family, func(t *testing.T) {
			forged := 600
			if backend.Is6() {
				forged = 1280
			}
			lab.Eventually(t, lab.Patience, func() error {
				forgeTooBig(t, intruder.Namespace, site.HostSide.Of(backend), backend, forged)
				if route := site.Host.Run("ip", "route", "get", backend.String()); !strings.Contains(route, fmt.Sprintf("mtu %d", forged)) {
					return fmt.Errorf("the kernel does not believe in the forged MTU: %s", route)
				}
				return nil
			})
			frontend := netip.AddrPortFrom(site.HostAddr.Of(backend), 80)
			capture := server.Capture("eth0")
			for _, network := range []string{"tcp", "udp"} {
				if err := site.Client.MustConnect(network, frontend).Echo(make([]byte, 1400)); err != nil {
					t.Errorf("%s: %v", network, err)
				}
			}
			if got := x.Status().Drops["too-big"]; got != 0 {
				t.Errorf("%d packets were too big", got)
			}
			for _, p := range capture.Stop() {
				if mss := mssOf(p); mss != 0 && mss < 1400 {
					t.Errorf("the MSS of a connection became %d", mss)
				}
			}
		})
	}
}

// forgeTooBig tells a host that what it sent to an address is too big. What is quoted is a ping's answer: the kernel does not
// ask whether it has sent one.
func forgeTooBig(t *testing.T, intruder *lab.Namespace, host, to netip.Addr, mtu int) {
	t.Helper()
	var message []byte
	network := "ip4:icmp"
	if to.Is4() {
		quote := append([]byte{4<<4 | 5, 0, 0, 100, 0, 1, 0x40, 0, 64, 1, 0, 0}, host.AsSlice()...)
		quote = append(append(quote, to.AsSlice()...), layers.ICMPv4TypeEchoReply, 0, 0, 0, 0, 1, 0, 1)
		message = append([]byte{layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded, 0, 0, 0, 0}, byte(mtu>>8), byte(mtu))
		message = append(message, quote...)
		binary.BigEndian.PutUint16(message[2:], checksum(message))
	} else {
		network = "ip6:ipv6-icmp"
		quote := append([]byte{6 << 4, 0, 0, 0, 0, 8, 58, 64}, host.AsSlice()...)
		quote = append(append(quote, to.AsSlice()...), layers.ICMPv6TypeEchoReply, 0, 0, 0, 0, 1, 0, 1)
		message = binary.BigEndian.AppendUint32([]byte{layers.ICMPv6TypePacketTooBig, 0, 0, 0}, uint32(mtu))
		message = append(message, quote...) // the kernel fills in the checksum
	}
	intruder.Do(func() {
		conn, err := net.Dial(network, host.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(message); err != nil {
			t.Fatal(err)
		}
	})
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// mssOf is the MSS that a packet with SYN says, or 0.
func mssOf(p lab.Packet) int {
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok || !tcp.SYN {
		return 0
	}
	for _, o := range tcp.Options {
		if o.OptionType == layers.TCPOptionKindMSS {
			return int(binary.BigEndian.Uint16(o.OptionData))
		}
	}
	return 0
}
