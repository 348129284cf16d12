// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vethIndex is the index that one end of a veth got last; the other's is the
// kernel's choice, which begins at 1. Where both have the same one, as the first
// devices of two namespaces would, older kernels take each for a device that lies on
// no other and tell of its carrier once a second only (linkwatch_urgent_event).
var vethIndex atomic.Int32

func init() { vethIndex.Store(10_000) }

// Veth joins two namespaces by a pair of virtual Ethernet devices, both up and
// with carrier.
func (l *Lab) Veth(a *Namespace, aDevice string, b *Namespace, bDevice string, mtu int) {
	l.tb.Helper()
	err := a.links.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: aDevice, MTU: mtu, Index: int(vethIndex.Add(1))},
		PeerName:      bDevice,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsFd(b.handle),
	})
	if err != nil {
		l.tb.Fatalf("making veth %s in %s: %v", aDevice, a.Name, err)
	}
	a.Up(aDevice)
	b.Up(bDevice)
	a.awaitCarrier(aDevice)
	b.awaitCarrier(bDevice)
}

// Bridge makes a bridge of devices that exist.
func (n *Namespace) Bridge(name string, ports ...string) {
	n.lab.tb.Helper()
	n.makeBridge(name)
	for _, port := range ports {
		n.Port(name, port)
	}
	n.awaitCarrier(name)
}

// VLAN puts a VLAN device on a device, with the addresses of a machine in the VLAN. Without such devices in the kernel
// it skips the test.
func (n *Namespace) VLAN(tb interface {
	TB
	Skip(args ...any)
}, device string, id, machine int) (name string, addr Addresses) {
	tb.Helper()
	name = fmt.Sprintf("%s.%d", device, id)
	err := n.links.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: n.Index(device)}, VlanId: id})
	if errors.Is(err, unix.EOPNOTSUPP) {
		tb.Skip("this kernel has no VLAN devices, which this test is about")
	}
	if err != nil {
		tb.Fatalf("making %s in %s: %v", name, n.Name, err)
	}
	n.Up(name)
	return name, n.Join(name, id, machine)
}

// makeBridge makes a bridge that is up, but has no carrier before it has ports.
func (n *Namespace) makeBridge(name string) {
	n.lab.tb.Helper()
	if err := n.links.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}); err != nil {
		n.lab.tb.Fatalf("making bridge %s in %s: %v", name, n.Name, err)
	}
	n.Up(name)
}

// Port makes a device a port of a bridge.
func (n *Namespace) Port(bridge, device string) {
	n.lab.tb.Helper()
	if err := n.links.LinkSetMaster(n.link(device), n.link(bridge)); err != nil {
		n.lab.tb.Fatalf("making %s a port of %s in %s: %v", device, bridge, n.Name, err)
	}
}

// LinkLocal is the IPv6 link-local address of a device.
func (n *Namespace) LinkLocal(device string) netip.Addr {
	n.lab.tb.Helper()
	addresses, err := n.links.AddrList(n.link(device), netlink.FAMILY_V6)
	for _, a := range addresses {
		if a.IP.IsLinkLocalUnicast() {
			return netip.AddrFrom16([16]byte(a.IP))
		}
	}
	n.lab.tb.Fatalf("%s in %s has no link-local address (%v)", device, n.Name, err)
	return netip.Addr{}
}

// Up brings a device up.
func (n *Namespace) Up(device string) {
	n.lab.tb.Helper()
	if err := n.links.LinkSetUp(n.link(device)); err != nil {
		n.lab.tb.Fatalf("bringing up %s in %s: %v", device, n.Name, err)
	}
}

// Down takes a device down.
func (n *Namespace) Down(device string) {
	n.lab.tb.Helper()
	if err := n.links.LinkSetDown(n.link(device)); err != nil {
		n.lab.tb.Fatalf("taking down %s in %s: %v", device, n.Name, err)
	}
}

// MTU changes the size of what a device sends.
func (n *Namespace) MTU(device string, mtu int) {
	n.lab.tb.Helper()
	if err := n.links.LinkSetMTU(n.link(device), mtu); err != nil {
		n.lab.tb.Fatalf("MTU %d of %s in %s: %v", mtu, device, n.Name, err)
	}
}

// Address gives a device an address, which is usable at once.
func (n *Namespace) Address(device string, prefix netip.Prefix) {
	n.lab.tb.Helper()
	address := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		address.Flags = unix.IFA_F_NODAD
	}
	if err := n.links.AddrAdd(n.link(device), address); err != nil {
		n.lab.tb.Fatalf("address %v on %s in %s: %v", prefix, device, n.Name, err)
	}
}

// Route sends what is for a prefix to a router.
func (n *Namespace) Route(to netip.Prefix, via netip.Addr) {
	n.lab.tb.Helper()
	route := &netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}
	if err := n.links.RouteAdd(route); err != nil {
		n.lab.tb.Fatalf("route to %v via %v in %s: %v", to, via, n.Name, err)
	}
}

// ReplaceRoute is Route for a prefix that may have one already, which goes.
func (n *Namespace) ReplaceRoute(to netip.Prefix, via netip.Addr) {
	n.lab.tb.Helper()
	route := &netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}
	if err := n.links.RouteReplace(route); err != nil {
		n.lab.tb.Fatalf("route to %v via %v in %s: %v", to, via, n.Name, err)
	}
}

// DefaultRoutes sends everything of both families to a router.
func (n *Namespace) DefaultRoutes(via Addresses) {
	n.lab.tb.Helper()
	n.Route(netip.PrefixFrom(netip.IPv4Unspecified(), 0), via.V4)
	n.Route(netip.PrefixFrom(netip.IPv6Unspecified(), 0), via.V6)
}

// Forwarding makes the namespace a router.
func (n *Namespace) Forwarding() {
	n.lab.tb.Helper()
	n.Sysctl("net.ipv4.ip_forward", "1")
	n.Sysctl("net.ipv6.conf.all.forwarding", "1")
}

// MAC is the Ethernet address of a device.
func (n *Namespace) MAC(device string) net.HardwareAddr {
	n.lab.tb.Helper()
	return n.link(device).Attrs().HardwareAddr
}

// SetMAC changes the Ethernet address of a device.
func (n *Namespace) SetMAC(device string, address net.HardwareAddr) {
	n.lab.tb.Helper()
	if err := n.links.LinkSetHardwareAddr(n.link(device), address); err != nil {
		n.lab.tb.Fatalf("address %v of %s in %s: %v", address, device, n.Name, err)
	}
}

// Index is the interface index of a device.
func (n *Namespace) Index(device string) int {
	n.lab.tb.Helper()
	return n.link(device).Attrs().Index
}

// LinkStatistics are the device's own counters since it was made. They count a
// GSO packet once.
func (n *Namespace) LinkStatistics(device string) netlink.LinkStatistics {
	n.lab.tb.Helper()
	return *n.link(device).Attrs().Statistics
}

// Rename gives a device another name. Linux before 6.3 renames no device that is up: there
// it goes down meanwhile, and comes back with its addresses, but not with routes by a router.
func (n *Namespace) Rename(device, name string) {
	n.lab.tb.Helper()
	link := n.link(device)
	rename := func() error { return n.links.LinkSetName(link, name) }
	err := rename()
	if errors.Is(err, unix.EBUSY) {
		n.Sysctl("net.ipv6.conf."+device+".keep_addr_on_down", "1")
		n.Down(device)
		if err = rename(); err == nil {
			n.Up(name)
			n.awaitCarrier(name)
		}
	}
	if err != nil {
		n.lab.tb.Fatalf("calling %s in %s %s: %v", device, n.Name, name, err)
	}
}

// AlternativeName gives a device one more name.
func (n *Namespace) AlternativeName(device, name string) {
	n.lab.tb.Helper()
	if err := n.links.LinkAddAltName(n.link(device), name); err != nil {
		n.lab.tb.Fatalf("calling %s in %s %s as well: %v", device, n.Name, name, err)
	}
}

// DeleteLink removes a device.
func (n *Namespace) DeleteLink(device string) {
	n.lab.tb.Helper()
	if err := n.links.LinkDel(n.link(device)); err != nil {
		n.lab.tb.Fatalf("deleting %s in %s: %v", device, n.Name, err)
	}
}

// Links is the netlink connection of the namespace, for what the lab has no
// words for.
func (n *Namespace) Links() *netlink.Handle { return n.links }

func (n *Namespace) link(device string) netlink.Link {
	n.lab.tb.Helper()
	link, err := n.links.LinkByName(device)
	if err != nil {
		n.lab.tb.Fatalf("device %s in %s: %v", device, n.Name, err)
	}
	return link
}

// awaitCarrier waits for a device's carrier, which may come a second after the
// device is up.
func (n *Namespace) awaitCarrier(device string) {
	n.lab.tb.Helper()
	Eventually(n.lab.tb, 10*time.Second, func() error {
		if state := n.link(device).Attrs().OperState; state != netlink.OperUp {
			return fmt.Errorf("%s in %s is %v", device, n.Name, state)
		}
		return nil
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}
