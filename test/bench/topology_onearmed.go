// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/lab"
)

// oneArmed is client, host and backend on one network: what the host publishes
// leaves by the device that it came by, and the backend would answer the client
// directly unless the host put its own address in the place of the client's.
// Direct goes through the network once, everything else twice, and so pays for
// its switch twice.
var oneArmed = topology{
	name:   "one-armed",
	title:  "Port 80 of a host → 30080 of another on the same network, packets as on a wire",
	server: leanServer,
	kinds:  everyKind,
	peers:  []peer{iptablesDNAT{}, nftablesDNAT{}, haproxy{}, xfwd{}},
	// A wire carries no packet that is larger than its MTU.
	offloads: offloadsOff,
	build:    buildOneArmed,
}

// network is the subnet of all.
var network = subnet{"198.18.60.0", "2001:db8:60::"}

func buildOneArmed(l *lab.Lab, v variant, lanes int) *site {
	lan := l.Namespace("lan")
	client, host, backend := l.Namespace("client"), l.Namespace("host"), l.Namespace("backend")
	var ports []string
	for port, ns := range map[string]*lab.Namespace{"client": client, "host": host, "backend": backend} {
		l.Veth(lan, port, ns, "eth0", 1500)
		v.apply(lan, port)
		v.apply(ns, "eth0")
		settle(ns)
		ports = append(ports, port)
	}
	lan.Bridge("lan0", ports...)
	host.Forwarding()
	for _, scope := range []string{"all", "eth0"} {
		host.Sysctl("net.ipv4.conf."+scope+".send_redirects", "0")
	}

	own := v.machine(network, 200)
	host.Address("eth0", netip.PrefixFrom(own, subnetBits(own)))
	frontend := netip.AddrPortFrom(own, frontendPort)
	clients := moreAddresses(client, "eth0", v.machine(network, 0), lanes)
	backends := moreAddresses(backend, "eth0", v.machine(network, 100), lanes)

	s := &site{client: client, forwarder: host, server: backend}
	for i, from := range clients {
		to := netip.AddrPortFrom(backends[i], backendPort)
		s.listen = append(s.listen, to)
		s.lanes = append(s.lanes, lane{
			site:     s,
			direct:   path{from, to},
			frontend: path{from, frontend},
			backend:  to,
		})
	}
	return s
}
