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

// asker is who sends packets to the host, and by what.
type asker struct {
	from       *lab.Namespace
	device     string
	addr       lab.Addresses
	host       *lab.Namespace
	hostDevice string
	hostAddr   lab.Addresses
}

// A forged packet makes one answer to whom it names, and is counted once, however many of our hooks it meets.
func TestOneAnswerToAPacket(t *testing.T) {
	t.Parallel()
	bridged := func(l *lab.Lab, netfilter bool) asker {
		site := l.Containers(1)
		site.Host.BridgeNetfilter(netfilter)
		c := site.Servers[0]
		return asker{from: c.Namespace, device: "eth0", addr: c.Addr, host: site.Host, hostDevice: "br0", hostAddr: site.HostSide}
	}
	inVLAN := func(t *testing.T, a asker) asker {
		const vlan = 17
		a.device, a.addr = a.from.VLAN(t, a.device, vlan, 2)
		a.hostDevice, a.hostAddr = a.host.VLAN(t, a.hostDevice, vlan, 1)
		return a
	}
	for name, make := range map[string]func(*testing.T, *lab.Lab) asker{
		"a device": func(_ *testing.T, l *lab.Lab) asker {
			n := l.Direct()
			return asker{from: n.Client, device: "eth0", addr: n.ClientAddr, host: n.Host, hostDevice: "eth0", hostAddr: n.HostAddr}
		},
		"a VLAN": func(t *testing.T, l *lab.Lab) asker {
			n := l.Direct()
			return inVLAN(t, asker{from: n.Client, device: "eth0", host: n.Host, hostDevice: "eth0"})
		},
		"the port of a bridge":                 func(_ *testing.T, l *lab.Lab) asker { return bridged(l, false) },
		"the port of a bridge, with netfilter": func(_ *testing.T, l *lab.Lab) asker { return bridged(l, true) },
		"a VLAN on a bridge":                   func(t *testing.T, l *lab.Lab) asker { return inVLAN(t, bridged(l, false)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := make(t, lab.New(t))
			x := a.host.XFWD()
			x.Add("81/tcp+udp", "30081,state=draining")
			for family, to := range a.hostAddr.All() {
				t.Run(family, func(t *testing.T) { a.mustHearOnce(t, x, to) })
			}
		})
	}
}

// mustHearOnce sends packets that are refused, of each kind fewer than one client is answered in a second, and fails the
// test unless each is answered once.
func (a asker) mustHearOnce(t *testing.T, x *lab.XFWD, to netip.Addr) {
	t.Helper()
	const packets = 30
	from := a.addr.Of(to)
	before := x.Status().Drops["no-backend"]
	capture := a.from.Capture(a.device)
	inject := a.from.Injector(a.device, a.host, a.hostDevice)
	for i := range packets {
		inject.Send(from, to, &layers.UDP{SrcPort: layers.UDPPort(40000 + i), DstPort: 81}, []byte("?"))
		inject.Send(from, to, &layers.TCP{SrcPort: layers.TCPPort(40000 + i), DstPort: 81, SYN: true, Seq: 1}, nil)
	}
	// In fragments, of which the first one is answered.
	conn, err := a.from.Dial("udp", netip.AddrPortFrom(to, 81), netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, 4000)); err != nil {
		t.Fatal(err)
	}
	const sent = 2*packets + 1
	lab.Eventually(t, lab.Patience, func() error {
		if got := x.Status().Drops["no-backend"] - before; got != sent {
			return fmt.Errorf("%d packets were refused, want %d", got, sent)
		}
		return nil
	})
	errors, resets := 0, 0
	for _, p := range capture.Stop() {
		switch {
		case p.Outgoing:
		case isReset(p):
			resets++
		case isError(p):
			errors++
		}
	}
	if errors != packets+1 || resets != packets {
		t.Errorf("%d errors and %d resets came, want %d and %d", errors, resets, packets+1, packets)
	}
}

func isReset(p lab.Packet) bool {
	l, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	return ok && l.RST
}

func isError(p gopacket.Packet) bool {
	if l, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		return l.TypeCode.Type() != layers.ICMPv4TypeEchoReply
	}
	l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	return ok && l.TypeCode.Type() <= layers.ICMPv6TypeParameterProblem
}
