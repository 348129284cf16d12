// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
	"golang.org/x/sys/unix"
)

// Datagrams of several times the MTU reach a backend elsewhere and their answers
// the client, of several clients at once, with offloads on and off.
func TestFragmentsElsewhere(t *testing.T) {
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
				site.Offloads(offloads)
				echo(server.Namespace, server.Addr, "udp", 30053)
				p.publish(site.Host.XFWD(), "53/udp", server, 30053)
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, family, func(t *testing.T) {
						payload := make([]byte, 9000)
						rand.NewChaCha8([32]byte{}).Read(payload)
						capture := server.Capture("eth0")
						conns := []*lab.Conn{
							site.Client.MustConnect("udp", at(host, 53)),
							site.Client.MustConnect("udp", at(host, 53)),
						}
						for size := 4000; size < len(payload); size += 100 {
							for _, conn := range conns {
								if err := conn.Echo(payload[:size]); err != nil {
									t.Fatalf("%d bytes: %v", size, err)
								}
								p.mustSee(t, site, conn)
							}
						}
						fragments := 0
						for _, packet := range capture.Stop() {
							if isFragment(packet) {
								fragments++
							}
						}
						if fragments < 2*2*50*3 {
							t.Errorf("%d fragments: the test does not test what it says", fragments)
						}
					})
				}
			})
		})
	}
}

// Datagrams that their sender has cut into pieces of 1500 bytes arrive over a
// smaller link, once it has been told.
func TestFragmentsOverSmallerLink(t *testing.T) {
	t.Parallel()
	for _, n := range narrowToServer {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			site, server := n.make(lab.New(t))
			listener := server.ListenUDP(":30053")
			go func() {
				datagram := make([]byte, 5000)
				for {
					size, client, err := listener.ReadFromUDPAddrPort(datagram)
					if errors.Is(err, net.ErrClosed) {
						return
					}
					// A short answer: links are narrow in one direction only.
					listener.WriteToUDPAddrPort(fmt.Append(nil, size), client)
				}
			}()
			n.publish(site.Host.XFWD(), "53/udp", server, 30053)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					conn, err := site.Client.Dial("udp", at(host, 53), anyPort)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					lab.Eventually(t, lab.Patience, func() error {
						conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
						if _, err := conn.Write(make([]byte, 4000)); err != nil {
							return err
						}
						answer := make([]byte, 100)
						size, err := conn.Read(answer)
						if err == nil && string(answer[:size]) != "4000" {
							t.Errorf("%s bytes arrived", answer[:size])
						}
						return err
					})
				})
			}
		})
	}
}

// A packet of IPv4 that may be fragmented reaches the other end over a smaller link, and nobody
// is told anything: one that is whole, and a fragment that its sender has made, with checksums
// that are finished and with those that are left to the device.
func TestFragmentsAreMade(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		for _, n := range narrowToServer[:3] {
			t.Run(fmt.Sprintf("to the server: %s, offloads %v", n.name, offloads), func(t *testing.T) {
				t.Parallel()
				site, server := n.make(lab.New(t))
				site.Offloads(offloads)
				// What the client sends at once becomes many fragments.
				site.Client.MTU("eth0", 9000)
				site.Host.MTU("eth0", 9000)
				n.publish(site.Host.XFWD(), "53/udp", server, 30053)
				answering, client := halfDone(t, site, server, site.HostAddr.V4)
				mustFragment(t, site.Client, client, answering, 1373, 1472, 2752, 8972, 20_000)
			})
		}
		for _, n := range narrowToClient[:2] {
			t.Run(fmt.Sprintf("to the client: %s, offloads %v", n.name, offloads), func(t *testing.T) {
				t.Parallel()
				site, server := n.make(lab.New(t))
				site.Offloads(offloads)
				n.publish(site.Host.XFWD(), "53/udp", server, 30053)
				answering, client := halfDone(t, site, server, site.HostAddr.V4)
				mustFragment(t, server.Namespace, answering, client, 1373, 1472, 4000, 20_000)
			})
		}
	}
}

// mustFragment fails the test unless datagrams of these sizes, which may be fragmented, come to
// the other end at once, one that is connected to the first one's.
func mustFragment(t *testing.T, sends *lab.Namespace, from, to net.Conn, sizes ...int) {
	t.Helper()
	setOption(t, from, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	capture := sends.Capture("eth0")
	payload, received := make([]byte, 1<<16), make([]byte, 1<<16)
	rand.NewChaCha8([32]byte{}).Read(payload)
	for _, size := range sizes {
		for odd := range 2 {
			if _, err := from.Write(payload[:size-odd]); err != nil {
				t.Fatal(err)
			}
			to.SetReadDeadline(time.Now().Add(lab.Patience))
			n, err := to.Read(received)
			if err != nil {
				t.Fatalf("%d bytes: %v", size-odd, err)
			}
			if !bytes.Equal(received[:n], payload[:size-odd]) {
				t.Fatalf("%d bytes: others arrived, %d of them", size-odd, n)
			}
		}
	}
	if quotes := lab.TooBig(capture.Stop()); len(quotes) > 0 {
		t.Errorf("somebody said that packets are too big: %v", quotes)
	}
}

// A segment of TCP that may be fragmented is, where nobody lowers what the ends say that they
// take.
func TestFragmentsOfTCPAreMade(t *testing.T) {
	t.Parallel()
	n := narrowToServer[0]
	site, server := n.make(lab.New(t))
	// Of what is merged each segment must fit.
	site.Offloads(false)
	var listener net.Listener
	var err error
	server.Do(func() { listener, err = net.Listen("tcp4", ":30080") })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	n.publish(site.Host.XFWD(), "80", server, 30080)
	conn, err := site.Client.Dial("tcp", at(site.HostAddr.V4, 80), anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	setOption(t, conn, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	serving, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer serving.Close()
	capture := server.Capture("eth0")
	sent, received := make([]byte, 100_000), make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		wrote <- err
	}()
	serving.SetReadDeadline(time.Now().Add(lab.Patience))
	if _, err := io.ReadFull(serving, received); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent, received) {
		t.Error("something else arrived")
	}
	if !slices.ContainsFunc(capture.Stop(), isFragment) {
		t.Error("no fragment came: the test does not test what it says")
	}
}
