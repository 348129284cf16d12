// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io"
	stdnet "net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// 200 connections at once all work.
func TestManyConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) { manyAtOnce(t, net, at(host, 80)) })
	}
	if opened := x.Counters("80").Connections.Opened; opened != 400 {
		t.Errorf("%d connections were counted, want 400", opened)
	}
}

// A client that uses its port again within TIME_WAIT gets through each time,
// whichever side closed first and is left in that state.
func TestClientPortReusedWithinTimeWait(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name        string
		serverFirst bool
		connections int
	}{
		{"the server closes first", true, 50},
		// Linux lets a client out of TIME_WAIT after a second.
		{"the client closes first", false, 4},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			net.Client.Sysctl("net.ipv4.tcp_tw_reuse", "1")
			net.Host.Serve(":30080", func(conn stdnet.Conn) {
				conn.Write([]byte("hello"))
				if !kind.serverFirst {
					io.Copy(io.Discard, conn)
				}
			})
			x := net.Host.XFWD()
			x.Add("80", "30080")
			for family, host := range net.HostAddr.All() {
				within(t, net, family, func(t *testing.T) {
					before := x.Counters("80").Connections.Opened
					for i := range kind.connections {
						from := at(net.ClientAddr.Of(host), 40000)
						if err := greet(t, net, at(host, 80), from, kind.serverFirst); err != nil {
							t.Fatalf("connection %d from the same port: %v", i, err)
						}
					}
					if opened := x.Counters("80").Connections.Opened - before; opened != uint64(kind.connections) {
						t.Errorf("%d connections were counted, want %d", opened, kind.connections)
					}
				})
			}
		})
	}
}

// greet makes a connection from a certain port, hears the greeting, and closes
// in good order.
func greet(t *testing.T, net *lab.Network, to, from netip.AddrPort, serverFirst bool) error {
	t.Helper()
	var conn stdnet.Conn
	var failed error
	lab.Eventually(t, lab.Patience, func() error {
		conn, failed = net.Client.Dial("tcp", to, from)
		if errors.Is(failed, syscall.EADDRNOTAVAIL) {
			return failed // the client's own kernel does not give the port out yet
		}
		return nil
	})
	if failed != nil {
		return failed
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(lab.Patience))
	greeting := make([]byte, 5)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "hello" {
		return fmt.Errorf("heard %q: %w", greeting, err)
	}
	if !serverFirst {
		conn.(*stdnet.TCPConn).CloseWrite()
	}
	_, err := io.Copy(io.Discard, conn) // until the server has closed
	return err
}

// A flood of SYNs, and of acknowledgements of what the senders never got, evicts
// no established flow, TCP or UDP, and does not keep new clients out.
func TestSYNFloodEvictsNoEstablishedFlow(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	net.Host.DefaultRoutes(net.ClientAddr) // for the answers
	// The host's resets would close the flows again that a flood confirms.
	net.Host.Run("nft", `
		add table inet quiet
		add chain inet quiet output { type filter hook output priority 0; }
		add rule inet quiet output tcp flags rst drop`)
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	x.MaxFlows = "1024"
	x.Add("80/tcp+udp", "30080")
	var conns []*lab.Conn
	for _, host := range net.HostAddr.All() {
		for range 50 {
			for _, network := range networks {
				conn := net.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				conns = append(conns, conn)
			}
		}
	}
	// Twenty times the table, from addresses that nobody has.
	injector := net.Client.Injector("eth0", net.Host, "eth0")
	for i := range 20_000 {
		spoofed := lab.Addresses{
			V4: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			V6: netip.AddrFrom16([16]byte{0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}),
		}
		to := net.HostAddr.V4
		if i%2 == 1 {
			to = net.HostAddr.V6
		}
		segment := layers.TCP{SrcPort: layers.TCPPort(1024 + i%50_000), DstPort: 80, Seq: uint32(i), Window: 65535}
		syn, ack := segment, segment
		syn.SYN = true
		injector.Send(spoofed.Of(to), to, &syn, nil)
		// A guess of 32 bits, the same for all.
		ack.ACK, ack.Seq, ack.Ack = true, ack.Seq+1, 0x12345678
		injector.Send(spoofed.Of(to), to, &ack, nil)
	}
	// Looked for before they are used: a flow that is gone may come back.
	live := map[string]bool{}
	for _, flow := range x.Flows() {
		live[fmt.Sprint(flow.Frontend.Protocol, flow.Client, flow.State)] = true
	}
	states := map[string]string{"tcp": "established", "udp": "two-way"}
	for _, conn := range conns {
		network := conn.LocalAddr().Network()
		if !live[fmt.Sprint(network, endpoint(conn.Local()), states[network])] {
			t.Errorf("the %s flow of %v was evicted", network, conn.Local())
		}
		mustEcho(t, conn)
		mustSee(t, conn)
	}
	if opened := x.Counters("80").Connections.Opened; opened < 10_000 {
		t.Errorf("only %d connections were opened: the flood did not reach the flow table", opened)
	}
	for _, host := range net.HostAddr.All() {
		mustEcho(t, net.Client.MustConnect("tcp", at(host, 80)))
		mustEcho(t, net.Client.MustConnect("udp", at(host, 80)))
	}
}
