// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// A bond is attached instead of its ports, and connections survive that one of
// these goes.
func TestBond(t *testing.T) {
	t.Parallel()
	lan := lab.New(t)
	net := &lab.Network{Lab: lan, Client: lan.Namespace("client"), Host: lan.Namespace("host")}
	ports := []string{"eth0", "eth1"}
	for _, port := range ports {
		lan.Veth(net.Client, port, net.Host, port, 1500)
	}
	for _, n := range []*lab.Namespace{net.Client, net.Host} {
		bond := netlink.NewLinkBond(netlink.LinkAttrs{Name: "bond0"})
		bond.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
		bond.Miimon = 20 // milliseconds
		addDevice(t, n, bond)
		for _, port := range ports {
			enslave(t, n, port, "bond0")
		}
		// It asks its ports whether they have a carrier, now and then.
		lab.Eventually(t, 10*time.Second, func() error {
			link, err := n.Links().LinkByName("bond0")
			if err == nil && link.Attrs().OperState != netlink.OperUp {
				err = fmt.Errorf("bond0 in %s is %v", n.Name, link.Attrs().OperState)
			}
			return err
		})
	}
	host := subnet(net, "bond0", "bond0", 30)
	x := publish(net.Host)
	mustAttach(t, x, map[string]bool{"bond0": true, "eth0": false, "eth1": false})
	mustTellApart(t, net.Client, host)

	conn := net.Client.MustConnect("tcp", at(host.V4, 80))
	mustEcho(t, conn)
	net.Host.DeleteLink("eth0")
	lab.Eventually(t, 10*time.Second, func() error {
		_, err := net.Client.Connect("udp", at(host.V4, 80), anyPort)
		return err
	})
	mustEcho(t, conn)
	mustTellApart(t, net.Client, host)
}

// enslave makes a device a port of another, which for most kinds it must be down
// for.
func enslave(t *testing.T, n *lab.Namespace, port, master string) {
	t.Helper()
	links := n.Links()
	link, err := links.LinkByName(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := links.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	if err := links.LinkSetMasterByIndex(link, n.Index(master)); err != nil {
		t.Fatalf("making %s a port of %s in %s: %v", port, master, n.Name, err)
	}
	n.Up(port)
}
