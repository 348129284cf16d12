// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io"
	stdnet "net"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/xfwd/xfwd/test/lab"
)

// A connection of which one side is closed carries data in the other direction
// for as long as there is some.
func TestHalfClosedConnection(t *testing.T) {
	t.Parallel()
	const size = 10_000_000
	net := lab.New(t).Direct()
	net.Host.Serve(":30080", func(conn stdnet.Conn) {
		io.Copy(io.Discard, conn) // until the client closes its side
		for range size / 1000 {
			if _, err := conn.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	})
	net.Host.XFWD().Add("80", "30080")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			conn, err := net.Client.Dial("tcp", at(host, 80), anyPort)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(3 * lab.Patience))
			conn.(*stdnet.TCPConn).CloseWrite()
			if got, err := io.Copy(io.Discard, conn); err != nil || got != size {
				t.Errorf("%d of %d bytes arrived: %v", got, size, err)
			}
		})
	}
}

// Segments outside of the window are nobody's business but the endpoints': they
// neither end a connection nor make one.
func TestSegmentsOutsideOfTheWindow(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	injector := net.Client.Injector("eth0", net.Host, "eth0")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			opened := x.Counters("80").Connections.Opened
			conn := net.Client.MustConnect("tcp", at(host, 80))
			mustEcho(t, conn)
			segment := layers.TCP{
				SrcPort: layers.TCPPort(conn.Local().Port()), DstPort: 80, Seq: 1, Ack: 1, ACK: true, Window: 1000,
			}
			for _, flags := range []layers.TCP{{}, {PSH: true}, {RST: true}, {FIN: true}, {SYN: true}} {
				stray := segment
				stray.PSH, stray.RST, stray.FIN, stray.SYN = flags.PSH, flags.RST, flags.FIN, flags.SYN
				injector.Send(conn.Local().Addr(), host, &stray, []byte("stray"))
				mustEcho(t, conn)
				mustSee(t, conn)
			}
			if now := x.Counters("80").Connections.Opened; now != opened+1 {
				t.Errorf("%d connections were opened, want one", now-opened)
			}
		})
	}
}

// Changes of other forwards disturb no traffic.
func TestChangesDisturbNoTraffic(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	net.Host.Echo("udp", ":30080")
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	done := make(chan error)
	stop := make(chan struct{})
	conns := []*lab.Conn{}
	for _, network := range networks {
		for _, host := range net.HostAddr.All() {
			conns = append(conns, net.Client.MustConnect(network, at(host, 80)))
		}
	}
	go func() { done <- echoUntil(stop, conns) }()
	for i := range 30 {
		port := strconv.Itoa(1000 + i)
		x.Add(port+"/tcp+udp", "30081")
		if i%3 == 0 {
			x.Do("del", port+"/tcp+udp")
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// echoUntil uses connections in turn. UDP is not repeated, so nothing may be
// lost.
func echoUntil(stop <-chan struct{}, conns []*lab.Conn) error {
	for count := 0; ; count++ {
		select {
		case <-stop:
			if count < 100 {
				return errors.New("hardly any traffic went while forwards changed")
			}
			return nil
		default:
		}
		conn := conns[count%len(conns)]
		if err := conn.Echo(make([]byte, 1000)); err != nil {
			return fmt.Errorf("echo %d, %v ↔ %v: %w", count, conn.Local(), conn.RemoteAddr(), err)
		}
	}
}
