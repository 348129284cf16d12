// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Server is another machine, a virtual machine or a container.
type Server struct {
	*Namespace
	// Addr are its addresses on eth0.
	Addr Addresses
}

// Site is a network whose host can hand traffic on to servers. The host forwards
// both families.
type Site struct {
	*Network
	Servers []Server
	// Device is the host's device that leads to the servers, HostSide are the
	// host's addresses there.
	Device   string
	HostSide Addresses
	// Switch joins what is on the servers' network; nil where the host does so.
	Switch *Switch
	// Alone is a server on a device of the host of its own, pod0; only Containers
	// has one.
	Alone Server
}

// The subnets of sites; in all of them the host has the first address and
// servers begin at firstServer.
const (
	clientSubnet    = 1
	serverSubnet    = 5
	containerSubnet = 6
	farSubnet       = 7

	firstServer = 10
)

// TwoArmed is client ── host ── switch ── servers, which have no router: what
// comes from beyond their own network they cannot answer.
func (l *Lab) TwoArmed(servers int) *Site {
	l.tb.Helper()
	return l.Direct().TwoArmed(servers)
}

// TwoArmed puts a switch with servers behind the host, as Lab.TwoArmed does.
func (n *Network) TwoArmed(servers int) *Site {
	n.Lab.tb.Helper()
	s := &Site{Network: n, Device: "eth1", HostSide: subnetAddr(serverSubnet, 1), Switch: n.Lab.Switch("switch")}
	s.Host.Forwarding()
	s.Switch.Plug(s.Host, s.Device)
	s.Host.subnet(s.Device, serverSubnet, 1)
	s.plugServers(servers, serverSubnet)
	return s
}

// OneArmed has client, host and servers on one network, which a switch joins.
func (l *Lab) OneArmed(servers int) *Site {
	l.tb.Helper()
	s := &Site{Network: l.network(), Device: "eth0", HostSide: subnetAddr(clientSubnet, 1), Switch: l.Switch("switch")}
	s.Host.Forwarding()
	s.Switch.Plug(s.Host, "eth0")
	s.Host.subnet("eth0", clientSubnet, 1)
	s.Switch.Plug(s.Client, "eth0")
	s.Client.subnet("eth0", clientSubnet, 2)
	s.HostAddr, s.ClientAddr = subnetAddr(clientSubnet, 1), subnetAddr(clientSubnet, 2)
	s.routeVIP(s.Client, s.HostAddr)
	s.plugServers(servers, clientSubnet)
	return s
}

// Containers is client ── host, whose bridge br0 joins the servers and is their
// router. The device of the host that is the other end of a server's eth0 is
// port0 and so on. Bridged packets do not meet iptables.
func (l *Lab) Containers(servers int) *Site {
	l.tb.Helper()
	return l.Direct().Containers(servers)
}

// Containers puts a bridge with servers on the host, as Lab.Containers does.
func (n *Network) Containers(servers int) *Site {
	n.Lab.tb.Helper()
	s := &Site{Network: n, Device: "br0", HostSide: subnetAddr(containerSubnet, 1)}
	s.Host.Forwarding()
	s.Host.BridgeNetfilter(false)
	s.Host.makeBridge(s.Device)
	for i := range servers {
		port := fmt.Sprintf("port%d", i)
		server := Server{n.Lab.Namespace(fmt.Sprintf("container%d", i)), subnetAddr(containerSubnet, firstServer+i)}
		n.Lab.Veth(s.Host, port, server.Namespace, "eth0", 1500)
		s.Host.Port(s.Device, port)
		server.subnet("eth0", containerSubnet, firstServer+i)
		s.Servers = append(s.Servers, server)
	}
	s.Host.subnet(s.Device, containerSubnet, 1)
	s.ThroughHost()
	s.Alone = Server(s.Pods(1, 1500)[0])
	return s
}

// ThroughHost makes the host the router of the servers.
func (s *Site) ThroughHost() {
	s.Lab.tb.Helper()
	for _, server := range s.Servers {
		server.DefaultRoutes(s.HostSide)
	}
}

// Offloads switches the offloads of all Ethernet devices of client, host and
// servers; what is above them follows.
func (s *Site) Offloads(on bool) {
	s.Lab.tb.Helper()
	machines := []*Namespace{s.Client, s.Host}
	for _, server := range s.Servers {
		machines = append(machines, server.Namespace)
	}
	if s.Alone.Namespace != nil {
		machines = append(machines, s.Alone.Namespace)
	}
	for _, machine := range machines {
		links, err := machine.links.LinkList()
		if err != nil {
			s.Lab.tb.Fatalf("devices of %s: %v", machine.Name, err)
		}
		for _, link := range links {
			if _, ok := link.(*netlink.Veth); ok {
				machine.Offloads(link.Attrs().Name, on)
			}
		}
	}
}

// plugServers puts servers at the switch.
func (s *Site) plugServers(count, subnet int) {
	s.Lab.tb.Helper()
	for i := range count {
		server := Server{s.Lab.Namespace(fmt.Sprintf("server%d", i)), subnetAddr(subnet, firstServer+i)}
		s.Switch.Plug(server.Namespace, "eth0")
		server.subnet("eth0", subnet, firstServer+i)
		s.Servers = append(s.Servers, server)
	}
}

// Routers puts a second network behind the servers' network of a TwoArmed site:
// two routers lead to a server there, over links with an MTU of their own. The
// host uses the first, and the server answers by the first.
func (s *Site) Routers(mtu int) (routers [2]Server, far Server) {
	s.Lab.tb.Helper()
	behind := s.Lab.Switch("behind")
	far = Server{s.Lab.Namespace("beyond"), subnetAddr(farSubnet, firstServer)}
	behind.Plug(far.Namespace, "eth0")
	far.subnet("eth0", farSubnet, firstServer)
	for i := range routers {
		routers[i] = Server{s.Lab.Namespace(fmt.Sprintf("router%d", i)), subnetAddr(serverSubnet, 2+i)}
		s.Switch.Plug(routers[i].Namespace, "eth0")
		behind.Plug(routers[i].Namespace, "eth1")
		routers[i].Forwarding()
		routers[i].subnet("eth0", serverSubnet, 2+i)
		routers[i].subnet("eth1", farSubnet, 2+i)
		routers[i].MTU("eth1", mtu)
		routers[i].DefaultRoutes(s.HostSide)
	}
	far.DefaultRoutes(subnetAddr(farSubnet, 2))
	for _, addr := range far.Addr.All() {
		network := netip.PrefixFrom(addr, map[bool]int{true: 24, false: 64}[addr.Is4()])
		s.Host.Route(network.Masked(), routers[0].Addr.Of(addr))
	}
	return routers, far
}
