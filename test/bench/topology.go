// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

// topology is a network to measure in.
type topology struct {
	name, title string
	server      server
	// kinds of work that the server can do.
	kinds []load.Kind
	// peers are compared there with direct.
	peers []peer
	// limits are the ratios over direct that xfwd promises not to exceed.
	limits map[load.Kind]float64
	// offloads are the topology's own default; empty: the kernel's.
	offloads string
	// build makes the network, with so many lanes.
	build func(l *lab.Lab, v variant, lanes int) *site
}

var topologies = []topology{local, localNginx, container, oneArmed}

// everyKind is what the lean server can do.
var everyKind = []load.Kind{load.Upload, load.Download, load.KeepAlive, load.Connection, load.Datagram}

// frontendPort is what every forwarder publishes, backendPort where the server
// listens.
const (
	frontendPort = 80
	backendPort  = 30080
)

// variant is what can be chosen about any topology.
type variant struct {
	ipv6     bool
	offloads string
}

// The choices of variant.offloads.
const (
	// offloadsDefault is as the kernel makes a veth: segmentation and checksums
	// are left to the receiver, which does not coalesce (GRO). A topology may have
	// another default.
	offloadsDefault = "default"
	offloadsOn      = "on"
	offloadsOff     = "off"
)

// within is the variant with the defaults of a topology.
func (v variant) within(t topology) variant {
	if v.offloads == offloadsDefault && t.offloads != "" {
		v.offloads = t.offloads
	}
	return v
}

// apply sets a device's offloads.
func (v variant) apply(ns *lab.Namespace, device string) {
	if v.offloads != offloadsDefault {
		ns.Offloads(device, v.offloads == offloadsOn)
	}
}

// of chooses the address of the variant's family.
func (v variant) of(a lab.Addresses) netip.Addr {
	if v.ipv6 {
		return a.V6
	}
	return a.V4
}

// subnet is where a topology has addresses beside the lab's own.
type subnet struct{ v4, v6 string }

// machine is the address of one machine in a subnet, which has fewer than 256.
func (v variant) machine(s subnet, number byte) netip.Addr {
	if v.ipv6 {
		a := netip.MustParseAddr(s.v6).As16()
		a[15] = number
		return netip.AddrFrom16(a)
	}
	a := netip.MustParseAddr(s.v4).As4()
	a[3] = number
	return netip.AddrFrom4(a)
}

// settle gives a namespace the TCP settings that a kernel starts with. A new
// namespace copies the machine's, and those of a server tuned for far-away
// clients (pacing, large buffers) make bulk transfers depend on timers and on
// the size of the caches.
func settle(ns *lab.Namespace) {
	ns.Sysctl("net.ipv4.tcp_congestion_control", "reno")
	ns.Sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")
	ns.Sysctl("net.ipv4.tcp_wmem", "4096 16384 4194304")
}
