// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"iter"
	"net/netip"
)

// Addresses are the addresses of one thing in both families.
type Addresses struct{ V4, V6 netip.Addr }

// All yields both addresses, each under the name of its family.
func (a Addresses) All() iter.Seq2[string, netip.Addr] {
	return func(yield func(string, netip.Addr) bool) {
		_ = yield("IPv4", a.V4) && yield("IPv6", a.V6)
	}
}

// Of returns the address of the same family as other.
func (a Addresses) Of(other netip.Addr) netip.Addr {
	if other.Is4() {
		return a.V4
	}
	return a.V6
}

// Network is a client and a host with a way between them.
type Network struct {
	Lab          *Lab
	Client, Host *Namespace
	// ClientAddr and HostAddr are their addresses on eth0, which each has.
	ClientAddr, HostAddr Addresses
	// VIP is no address of the host, but routed to it.
	VIP Addresses
	// Near and Far are the routers on the way, nil when there are none. Near's
	// eth0 faces the client, Far's eth0 the host, their eth1 each other.
	Near, Far *Namespace
	// FarAddr are Far's addresses on the link to the host.
	FarAddr Addresses
}

// Direct is client ── host.
func (l *Lab) Direct() *Network {
	l.tb.Helper()
	n := l.network()
	l.Veth(n.Client, "eth0", n.Host, "eth0", 1500)
	n.Client.subnet("eth0", 1, 2)
	n.Host.subnet("eth0", 1, 1)
	n.ClientAddr, n.HostAddr = subnetAddr(1, 2), subnetAddr(1, 1)
	n.routeVIP(n.Client, n.HostAddr)
	return n
}

// Routed is client ── near ── far ── host, where the link in the middle has an
// MTU of its own.
func (l *Lab) Routed(middleMTU int) *Network {
	l.tb.Helper()
	n := l.network()
	n.Near, n.Far = l.Namespace("near"), l.Namespace("far")
	l.Veth(n.Client, "eth0", n.Near, "eth0", 1500)
	l.Veth(n.Near, "eth1", n.Far, "eth1", middleMTU)
	l.Veth(n.Far, "eth0", n.Host, "eth0", 1500)
	n.Client.subnet("eth0", 2, 2)
	n.Near.subnet("eth0", 2, 1)
	n.Near.subnet("eth1", 3, 1)
	n.Far.subnet("eth1", 3, 2)
	n.Far.subnet("eth0", 1, 2)
	n.Host.subnet("eth0", 1, 1)
	n.ClientAddr, n.HostAddr, n.FarAddr = subnetAddr(2, 2), subnetAddr(1, 1), subnetAddr(1, 2)
	n.Near.Forwarding()
	n.Far.Forwarding()
	n.Client.DefaultRoutes(subnetAddr(2, 1))
	n.Near.DefaultRoutes(subnetAddr(3, 2))
	n.Far.DefaultRoutes(subnetAddr(3, 1))
	n.Host.DefaultRoutes(n.FarAddr)
	n.routeVIP(n.Far, n.HostAddr)
	return n
}

// SecondLink joins client and host by another pair of devices, eth1, and
// returns their addresses there. A client that uses the second of its addresses
// with the first of the host's sends by eth0 and is answered by eth1.
func (n *Network) SecondLink() (client, host Addresses) {
	n.Lab.tb.Helper()
	n.Lab.Veth(n.Client, "eth1", n.Host, "eth1", 1500)
	n.Client.subnet("eth1", 4, 2)
	n.Host.subnet("eth1", 4, 1)
	return subnetAddr(4, 2), subnetAddr(4, 1)
}

// Pod is a namespace that reaches the world through the host.
type Pod struct {
	*Namespace
	Addr Addresses
}

// Pods puts namespaces behind the host, which knows them as devices pod0 and so
// on, and makes it forward. The MTU holds for what the host sends to a pod; what
// a pod sends may have 1500 bytes, so that clients are told so.
func (n *Network) Pods(count, mtu int) []Pod {
	n.Lab.tb.Helper()
	n.Host.Forwarding()
	pods := make([]Pod, count)
	for i := range pods {
		device, net := fmt.Sprintf("pod%d", i), 100+i
		pod := Pod{n.Lab.Namespace(device), subnetAddr(net, 2)}
		n.Lab.Veth(n.Host, device, pod.Namespace, "eth0", 1500)
		n.Host.MTU(device, mtu)
		n.Host.subnet(device, net, 1)
		pod.subnet("eth0", net, 2)
		pod.DefaultRoutes(subnetAddr(net, 1))
		pods[i] = pod
	}
	return pods
}

func (l *Lab) network() *Network {
	return &Network{
		Lab:    l,
		Client: l.Namespace("client"),
		Host:   l.Namespace("host"),
		VIP:    Addresses{netip.MustParseAddr("192.0.2.80"), netip.MustParseAddr("2001:db8:80::80")},
	}
}

func (n *Network) routeVIP(from *Namespace, via Addresses) {
	from.Route(netip.PrefixFrom(n.VIP.V4, 32), via.V4)
	from.Route(netip.PrefixFrom(n.VIP.V6, 128), via.V6)
}

// subnetAddr is the address of a machine in one of the lab's subnets, of
// RFC 2544's range in IPv4 and RFC 3849's in IPv6.
func subnetAddr(subnet, machine int) Addresses {
	v6 := [16]byte{0x20, 0x01, 0x0d, 0xb8, 5: byte(subnet), 15: byte(machine)}
	return Addresses{
		V4: netip.AddrFrom4([4]byte{198, 18, byte(subnet), byte(machine)}),
		V6: netip.AddrFrom16(v6),
	}
}

// Join gives a device the addresses of a machine in a subnet that no topology has:
// one from 10 to 99.
func (n *Namespace) Join(device string, subnet, machine int) Addresses {
	n.lab.tb.Helper()
	n.subnet(device, subnet, machine)
	return subnetAddr(subnet, machine)
}

// subnet gives a device its addresses in a subnet.
func (n *Namespace) subnet(device string, subnet, machine int) {
	n.lab.tb.Helper()
	addr := subnetAddr(subnet, machine)
	n.Address(device, netip.PrefixFrom(addr.V4, 24))
	n.Address(device, netip.PrefixFrom(addr.V6, 64))
}
