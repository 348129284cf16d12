// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A forward that is bound to a device takes only what arrives there.
func TestForwardBoundToDevice(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, host2 := net.SecondLink()
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080", "--device", "eth1")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
		for family, host := range host2.All() {
			within(t, net, network+" "+family, func(t *testing.T) {
				conn := net.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				mustSee(t, conn)
				_, err := net.Client.Connect(network, at(net.HostAddr.Of(host), 80), anyPort)
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("on the other device: %v, want a refusal", err)
				}
			})
		}
	}
}

// A device beats none, and --device may be given more than once.
func TestDeviceBeatsNone(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	_, host2 := net.SecondLink()
	net.Host.Echo("tcp", ":30080")
	net.Host.Echo("tcp", ":30081")
	net.Host.Echo("tcp", ":30082")
	x := net.Host.XFWD()
	x.Add("80", "30080")
	x.Add("80", "30081", "--device", "eth1")
	x.Add("81", "30082", "--device", "eth0", "--device", "eth1")
	for port, reached := range map[uint16][2]uint16{80: {30080, 30081}, 81: {30082, 30082}} {
		for i, hosts := range []lab.Addresses{net.HostAddr, host2} {
			for _, host := range hosts.All() {
				conn := net.Client.MustConnect("tcp", at(host, port))
				if conn.Server.Port() != reached[i] {
					t.Errorf("%v reached %v, want port %d", at(host, port), conn.Server, reached[i])
				}
			}
		}
	}
}
