// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/xfwd/xfwd/test/lab"
)

// onlyFlow is the flow of a client's connection.
func onlyFlow(t *testing.T, x *lab.XFWD, client netip.AddrPort) lab.Flow {
	t.Helper()
	for _, f := range x.Flows() {
		if f.Client == (lab.Endpoint{Address: client.Addr().String(), Port: client.Port()}) {
			return f
		}
	}
	t.Fatalf("%v has no flow: %+v", client, x.Flows())
	return lab.Flow{}
}

// Who knows a connection's addresses and ports, but not its sequence numbers, cannot end it: neither with a target on
// the host nor with a masqueraded one, whose tuple nobody else gets.
func TestForgedEndings(t *testing.T) {
	t.Parallel()
	s := lab.New(t).TwoArmed(1)
	server := s.Servers[0]
	server.Echo("tcp", ":8080")
	s.Host.Echo("tcp", ":30080")
	x := s.Host.XFWD()
	x.Add("80", "30080")
	x.Add("81", netip.AddrPortFrom(server.Addr.V4, 8080).String(), netip.AddrPortFrom(server.Addr.V6, 8080).String(), "--source", "masquerade")
	wire := s.Client.Injector("eth0", s.Host, "eth0")
	for _, to := range s.HostAddr.All() {
		from := s.ClientAddr.Of(to)
		for _, port := range []uint16{80, 81} {
			conn := s.Client.MustConnect("tcp", netip.AddrPortFrom(to, port))
			client := conn.Local()
			forge := func(to netip.Addr, port uint16, segment layers.TCP) {
				segment.SrcPort, segment.DstPort = layers.TCPPort(client.Port()), layers.TCPPort(port)
				wire.Send(from, to, &segment, nil)
			}
			// All over the sequence numbers, which the connection's can be near to.
			const guesses = 512
			for i := range uint32(guesses) {
				guess := i * (1<<32/guesses - 1)
				forge(to, port, layers.TCP{Seq: guess, RST: true})
				forge(to, port, layers.TCP{Seq: guess, Ack: ^guess, ACK: true, FIN: true})
			}
			// What comes next has the connection's tuple if that is free.
			forge(to, 30080, layers.TCP{Seq: 1, SYN: true})
			forge(to, port, layers.TCP{Seq: 1, SYN: true})
			if flow := onlyFlow(t, x, client); flow.State != "established" {
				t.Errorf("%v to port %d, after forged segments, is %s", client, port, flow.State)
			}
			if err := conn.Echo([]byte("still here")); err != nil {
				t.Errorf("%v to port %d, after forged segments: %v", client, port, err)
			}
		}
	}
}

// Forged SYNs to the target's port from all of a client's ports, which a firewall drops, do not lock the client out of the
// frontend.
func TestForgedSYNsToTheTarget(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080", "--max-flows", "200000")
	net.Host.Run("nft", "table inet firewall { chain input { type filter hook input priority 0; tcp dport 30080 drop; }; }")
	wire := net.Client.Injector("eth0", net.Host, "eth0")
	for port := 1; port < 1<<16; port++ {
		wire.Send(net.ClientAddr.V4, net.HostAddr.V4, &layers.TCP{SrcPort: layers.TCPPort(port), DstPort: 30080, Seq: 1, SYN: true}, nil)
	}
	net.Host.Run("nft", "delete table inet firewall")
	for range 20 {
		conn := net.Client.MustConnect("tcp", netip.AddrPortFrom(net.HostAddr.V4, 80))
		if err := conn.Echo([]byte("hello")); err != nil {
			t.Error(err)
		}
	}
	if drops := x.Status().Drops; drops["no-source-port"] != 0 {
		t.Errorf("clients are locked out: %v", drops)
	}
}

// More clients than there are ports ask a masqueraded server one question each, 2,000 of them a second at most: for each
// there is a port.
func TestQuestionsLeaveTheirPorts(t *testing.T) {
	t.Parallel()
	s := lab.New(t).TwoArmed(1)
	server := s.Servers[0]
	const backend, firstPort, clients, eachSecond, questions = 5353, 33_000, 40, 2000, 25_000
	server.Echo("udp", fmt.Sprint(":", backend))
	x := s.Host.XFWD()
	x.Add("53/udp", netip.AddrPortFrom(server.Addr.V4, backend).String(), "--source", "masquerade", "--max-flows", "100000")
	to := netip.AddrPortFrom(s.HostAddr.V4, 53)
	turn := make(chan netip.AddrPort)
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			for from := range turn {
				raw, err := s.Client.Dial("udp", to, from)
				if err != nil {
					t.Errorf("%v", err)
					continue
				}
				// A datagram may be lost where a busy machine has no room for it.
				for try := 0; ; try++ {
					raw.SetDeadline(time.Now().Add(lab.Patience))
					if _, err = raw.Write([]byte("?")); err == nil {
						_, err = raw.Read(make([]byte, 256))
					}
					if err == nil || try == 2 {
						break
					}
				}
				if err != nil {
					t.Errorf("no answer: %v", err)
				}
				raw.Close()
			}
		})
	}
	pace := time.NewTicker(time.Second / 100)
	defer pace.Stop()
	for asked := 0; asked < questions && !t.Failed(); {
		<-pace.C
		for range eachSecond / 100 {
			// From ports that masqueraded clients do not keep.
			turn <- netip.AddrPortFrom(s.ClientAddr.V4, uint16(firstPort+asked))
			asked++
		}
	}
	close(turn)
	asking.Wait()
	if drops := x.Status().Drops; drops["no-source-port"] != 0 {
		t.Errorf("clients got no port: %v", drops)
	}
}
