// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
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
