// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Beside a real Docker engine with its own rules, a port of the host leads to a port
// that Docker publishes, or to a container itself, for clients outside, the host and
// other containers.
func TestDockerEngine(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"with docker-proxy":    nil,
		"without docker-proxy": {"--userland-proxy=false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			if net.Host.HaveBridgeNetfilter() {
				net.Host.BridgeNetfilter(true)
			}
			docker := net.Host.Docker(flags...)
			published := docker.Run("published", "--publish", "30080:8080", "--publish", "30080:8080/udp")
			hidden := docker.Run("hidden")
			x := net.Host.XFWD()
			x.Add("80/tcp+udp", "30080")
			x.Add("81/tcp+udp", at(hidden.Addr, 8080).String())

			host := net.HostAddr.V4
			for _, network := range networks {
				within(t, net, network, func(t *testing.T) {
					for port, container := range map[uint16]*lab.Container{80: published, 81: hidden} {
						conn := net.Client.MustConnect(network, at(host, port))
						mustEcho(t, conn)
						mustSee(t, conn)
						if want := at(container.Addr, 8080); conn.Server.Addr() != want.Addr() && network == "tcp" {
							t.Errorf("port %d: %v answers, want %v", port, conn.Server, want)
						}
						// Of the containers, the one that answers asks itself.
						for _, asks := range []*lab.Container{published, hidden} {
							mustEcho(t, asks.MustConnect(network, at(host, port)))
						}
						mustEcho(t, net.Host.MustConnect(network, at(host, port)))
						mustEcho(t, net.Host.MustConnect(network, at(netip.MustParseAddr("127.0.0.1"), port)))
					}
				})
			}
		})
	}
}

// A container that Docker starts again with its old address needs no command of xfwd.
func TestDockerRestart(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	docker := net.Host.Docker()
	container := docker.Run("container")
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", at(container.Addr, 8080).String())
	for _, network := range networks {
		mustEcho(t, net.Client.MustConnect(network, at(net.HostAddr.V4, 80)))
	}
	docker.Do("restart", "--time", "0", container.ID)
	for _, network := range networks {
		lab.Eventually(t, lab.Patience, func() error {
			conn, err := net.Client.Connect(network, at(net.HostAddr.V4, 80), anyPort)
			if err == nil {
				err = conn.Echo([]byte("hello"))
			}
			return err
		})
	}
}

// Who talks to a published port when the same port is given to something else goes on
// with the container; new clients reach the new target.
func TestDockerSessionsLiveOn(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	docker := net.Host.Docker()
	container := docker.Run("container", "--publish", "8080:8080", "--publish", "8080:8080/udp")
	for _, network := range networks {
		net.Host.Echo(network, ":30080")
	}
	to := at(net.HostAddr.V4, 8080)
	before := map[string]*lab.Conn{}
	for _, network := range networks {
		before[network] = net.Client.MustConnect(network, to)
	}
	x := net.Host.XFWD()
	x.Add("8080/tcp+udp", "30080")
	for _, network := range networks {
		mustEcho(t, before[network])
		if before[network].Server.Port() != 8080 {
			t.Errorf("%s: the session is with %v now, want %v", network, before[network].Server, at(container.Addr, 8080))
		}
		conn := net.Client.MustConnect(network, to)
		mustEcho(t, conn)
		if conn.Server.Port() != 30080 {
			t.Errorf("%s: a new client reaches %v, want port 30080 of the host", network, conn.Server)
		}
	}
}
