// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

// container is client ── host ── container: what the host publishes on its port
// 80 is behind it. Direct is a veth pair between client and container, with no
// host at all.
var container = topology{
	name:   "container",
	title:  "Port 80 of a host → 30080 of a container behind it",
	server: leanServer,
	kinds:  everyKind,
	peers:  []peer{redirectAlone{}, kernelRouting{}, iptablesDNAT{}, nftablesDNAT{}, haproxy{}, xfwd{}},
	limits: map[load.Kind]float64{load.KeepAlive: 1.05, load.Connection: 1.08, load.Datagram: 1.15},
	build:  buildContainer,
}

// bypass is the subnet of client and container without the host.
var bypass = subnet{"198.18.50.0", "2001:db8:50::"}

func buildContainer(l *lab.Lab, v variant, lanes int) *site {
	n := l.Direct()
	pod := n.Pods(1, 1500)[0]
	n.Client.DefaultRoutes(n.HostAddr)
	l.Veth(n.Client, "eth1", pod.Namespace, "eth1", 1500)
	for _, ns := range []*lab.Namespace{n.Client, n.Host, pod.Namespace} {
		settle(ns)
	}
	for _, end := range []struct {
		ns     *lab.Namespace
		device string
	}{{n.Client, "eth0"}, {n.Client, "eth1"}, {n.Host, "eth0"}, {n.Host, "pod0"}, {pod.Namespace, "eth0"}, {pod.Namespace, "eth1"}} {
		v.apply(end.ns, end.device)
	}

	beyond := v.machine(bypass, 100)
	pod.Address("eth1", netip.PrefixFrom(beyond, subnetBits(beyond)))
	direct := netip.AddrPortFrom(beyond, backendPort)
	frontend := netip.AddrPortFrom(v.of(n.HostAddr), frontendPort)
	clients := moreAddresses(n.Client, "eth0", v.of(n.ClientAddr), lanes)
	bypassing := moreAddresses(n.Client, "eth1", v.machine(bypass, 0), lanes)
	backends := moreAddresses(pod.Namespace, "eth0", v.of(pod.Addr), lanes)

	s := &site{client: n.Client, forwarder: n.Host, server: pod.Namespace, listen: []netip.AddrPort{direct}}
	for i := range lanes {
		backend := netip.AddrPortFrom(backends[i], backendPort)
		s.listen = append(s.listen, backend)
		s.lanes = append(s.lanes, lane{
			site:     s,
			direct:   path{bypassing[i], direct},
			frontend: path{clients[i], frontend},
			backend:  backend,
		})
	}
	return s
}
