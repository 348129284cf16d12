// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/xfwd/xfwd/test/lab"
)

// When a forward is deleted while connections live, new ones are refused at
// once, established TCP lives on, and UDP flows end. Added back, it works again.
func TestDeleteWhileConnectionsLive(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	x := net.Host.XFWD()
	for range 2 {
		x.Add("80/tcp+udp", "30080")
		for _, host := range net.HostAddr.All() {
			// Also direct users of the target are there, before and after.
			mustEcho(t, net.Client.MustConnect("tcp", at(host, 30080)))
			mustEcho(t, net.Client.MustConnect("udp", at(host, 30080)))
		}
		established := map[string][]*lab.Conn{}
		for _, network := range networks {
			for _, host := range net.HostAddr.All() {
				conn := net.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				established[network] = append(established[network], conn)
			}
		}
		x.Do("del", "80/tcp+udp")
		for _, network := range networks {
			for _, host := range net.HostAddr.All() {
				start := time.Now()
				_, err := net.Client.Connect(network, at(host, 80), anyPort)
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("new %s connection: %v, want a refusal", network, err)
				}
				if elapsed := time.Since(start); elapsed > time.Second {
					t.Errorf("the refusal of %s took %v", network, elapsed)
				}
			}
		}
		for _, conn := range established["tcp"] {
			mustEcho(t, conn)
			if err := conn.Echo(make([]byte, 1_000_000)); err != nil {
				t.Errorf("established TCP after the forward went: %v", err)
			}
			mustSee(t, conn)
		}
		for _, conn := range established["udp"] {
			if err := conn.Echo([]byte("still there?")); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("UDP flow after the forward went: %v, want a refusal", err)
			}
		}
	}
	// What was established before the last deletion outlives the next forward of
	// the frontend, too.
	x.Add("80", "30080")
	mustEcho(t, net.Client.MustConnect("tcp", at(net.HostAddr.V4, 80)))
}

// del --existing reset ends established TCP: both ends learn of it.
func TestDeleteWithExistingReset(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	net.Host.Echo("tcp", ":30080")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	x.Add("81", "30080")
	for family, host := range net.HostAddr.All() {
		within(t, net, family, func(t *testing.T) {
			x.Add("80", "30080")
			ends := net.Client.MustConnect("tcp", at(host, 80))
			stays := net.Client.MustConnect("tcp", at(host, 81))
			direct := net.Client.MustConnect("tcp", at(host, 30080))
			x.Do("del", "80", "--existing", "reset")
			lab.Eventually(t, lab.Patience, func() error {
				if err := ends.Echo([]byte("still there?")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					return fmt.Errorf("the client's connection: %v, want a reset", err)
				}
				return nil
			})
			mustEcho(t, stays)
			mustEcho(t, direct)
		})
	}
}
