// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/test/lab"
)

// The ports of a VRF keep their own IP layer: packets are served there, with the
// routes and for the sockets of the VRF.
func TestVRF(t *testing.T) {
	t.Parallel()
	lan := lab.New(t)
	net := &lab.Network{Lab: lan, Client: lan.Namespace("client"), Host: lan.Namespace("host")}
	lan.Veth(net.Client, "eth0", net.Host, "eth0", 1500)
	addDevice(t, net.Host, &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "vrf0"}, Table: 10})
	enslave(t, net.Host, "eth0", "vrf0")
	host := subnet(net, "eth0", "eth0", 40)

	net.Host.Sysctl("net.ipv4.tcp_l3mdev_accept", "1")
	net.Host.Echo("tcp", ":30080")
	answerInVRF(t, net.Host, "vrf0", ":30080")
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	mustTellApart(t, net.Client, host)
	mustCount(t, x, 2)
	mustAttach(t, x, map[string]bool{"eth0": true})
}

// What arrives in a VRF goes to a backend, and its answers to the client, by the
// routes of the VRF; the main table has none.
func TestVRFElsewhere(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"preserve", "masquerade"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			lan := lab.New(t)
			net := &lab.Network{Lab: lan, Client: lan.Namespace("client"), Host: lan.Namespace("host")}
			server := lan.Namespace("server")
			net.Host.Forwarding()
			addDevice(t, net.Host, &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "vrf0"}, Table: 10})
			lan.Veth(net.Client, "eth0", net.Host, "eth0", 1500)
			lan.Veth(server, "eth0", net.Host, "pod0", 1500)
			for _, device := range []string{"eth0", "pod0"} {
				enslave(t, net.Host, device, "vrf0")
			}
			host := subnet(net, "eth0", "eth0", 40)
			behind, backend := net.Host.Join("pod0", 41, 1), server.Join("eth0", 41, 2)
			server.DefaultRoutes(behind)
			x := net.Host.XFWD()
			x.Add("80/tcp+udp", at(backend.V4, 30080).String(), at(backend.V6, 30080).String(), "--source", source)
			for _, network := range networks {
				server.Echo(network, ":30080")
				for family, addr := range host.All() {
					conn := net.Client.MustConnect(network, at(addr, 80))
					mustEcho(t, conn)
					want := conn.Local().Addr()
					if source == "masquerade" {
						want = behind.Of(addr)
					}
					if conn.Client.Addr() != want {
						t.Errorf("%s %s: the server saw %v, want %v", network, family, conn.Client, want)
					}
				}
			}
			mustCount(t, x, 2)
		})
	}
}

// answerInVRF serves UDP as lab.Echo does, by a socket that belongs to the VRF.
func answerInVRF(t *testing.T, n *lab.Namespace, vrf, address string) {
	t.Helper()
	conn := n.ListenUDP(address)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	bound := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), vrf) })
	if bound != nil || err != nil {
		t.Fatalf("binding a socket to %s: %v, %v", vrf, bound, err)
	}
	go func() {
		payload := make([]byte, 2048)
		for {
			size, client, err := conn.ReadFromUDPAddrPort(payload)
			if err != nil {
				return
			}
			plain := netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
			answer := append([]byte(plain.String()+" "+conn.LocalAddr().String()+"\n"), payload[:size]...)
			conn.WriteToUDPAddrPort(answer, client)
		}
	}()
}
