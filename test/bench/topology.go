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
	// build makes the network, with so many addresses for the client.
	build func(l *lab.Lab, v variant, clients int) *site
}

var topologies = []topology{local, localNginx}

// variant is what can be chosen about any topology.
type variant struct {
	ipv6     bool
	offloads string
}

// The choices of variant.offloads.
const (
	// offloadsDefault is as the kernel makes a veth: segmentation and checksums
	// are left to the receiver, which does not coalesce (GRO).
	offloadsDefault = "default"
	offloadsOn      = "on"
	offloadsOff     = "off"
)

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

// settle gives a namespace the TCP settings that a kernel starts with. A new
// namespace copies the machine's, and those of a server tuned for far-away
// clients (pacing, large buffers) make bulk transfers depend on timers and on
// the size of the caches.
func settle(ns *lab.Namespace) {
	ns.Sysctl("net.ipv4.tcp_congestion_control", "reno")
	ns.Sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")
	ns.Sysctl("net.ipv4.tcp_wmem", "4096 16384 4194304")
}
