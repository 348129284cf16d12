// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// A macvlan of the host is one more of its devices, though its packets pass the
// one below.
func TestMacvlan(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	// Neighbours are told of the device that has the address.
	net.Host.Sysctl("net.ipv4.conf.all.arp_ignore", "1")
	addDevice(t, net.Host, macvlan(net.Host))
	own := subnet(net, "mac0", "eth0", 50)
	x := publish(net.Host)
	mustReach(t, net.Client, own)
	mustReach(t, net.Client, net.HostAddr)
	mustCount(t, x, 4)
	mustAttach(t, x, map[string]bool{"eth0": true, "mac0": true})
}

// A container's macvlan or ipvlan is another host: its packets pass the host's
// device, and are not touched.
func TestDevicesOfAContainer(t *testing.T) {
	t.Parallel()
	for name, device := range map[string]func(host *lab.Namespace) netlink.Link{"macvlan": macvlan, "ipvlan": ipvlan} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			container := net.Lab.Namespace("container")
			link := device(net.Host)
			addDevice(t, net.Host, link)
			move(t, net.Host, link, container)
			addrs := subnet(&lab.Network{Host: container, Client: net.Client}, link.Attrs().Name, "eth0", 60)
			x := publish(net.Host)
			for _, network := range networks {
				container.Echo(network, ":80")
				for _, addr := range addrs.All() {
					conn := net.Client.MustConnect(network, at(addr, 80))
					mustEcho(t, conn)
					if conn.Server.Port() != 80 {
						t.Errorf("%s: %v reached %v", network, at(addr, 80), conn.Server)
					}
				}
			}
			mustCount(t, x, 0)
		})
	}
}

// move moves a device to another namespace.
func move(t *testing.T, from *lab.Namespace, device netlink.Link, to *lab.Namespace) {
	t.Helper()
	namespace, err := os.Open(to.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer namespace.Close()
	if err := from.Links().LinkSetNsFd(device, int(namespace.Fd())); err != nil {
		t.Fatalf("moving %s to %s: %v", device.Attrs().Name, to.Name, err)
	}
	to.Up(device.Attrs().Name)
}

func macvlan(on *lab.Namespace) netlink.Link {
	return &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{Name: "mac0", ParentIndex: on.Index("eth0")},
		Mode:      netlink.MACVLAN_MODE_BRIDGE,
	}
}

func ipvlan(on *lab.Namespace) netlink.Link {
	return &netlink.IPVlan{
		LinkAttrs: netlink.LinkAttrs{Name: "ip0", ParentIndex: on.Index("eth0")},
		Mode:      netlink.IPVLAN_MODE_L2,
	}
}
