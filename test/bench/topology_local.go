// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

// localPeers can publish a port of the host itself.
var localPeers = []peer{iptablesRedirect{}, nftablesRedirect{}, haproxy{}, xfwd{}, xfwdBystander{}}

// localLimits hold for the lean server and for a real one.
var localLimits = map[load.Kind]float64{
	load.Upload: 1.02, load.Download: 1.02, load.KeepAlive: 1.05, load.Connection: 1.05, load.Datagram: 1.08,
}

// local is client ── host, where the server is a process of the host itself
// and port 80 is published on port 30080.
var local = topology{
	name:   "local",
	title:  "Port 80 → 30080 on one host",
	server: leanServer,
	kinds:  everyKind,
	peers:  localPeers,
	limits: localLimits,
	build:  buildLocal,
}

// localNginx is local with a real server, which does more than system calls for
// its answers.
var localNginx = topology{
	name:   "local-nginx",
	title:  "The same, nginx answering",
	server: nginxServer,
	kinds:  []load.Kind{load.KeepAlive, load.Connection},
	peers:  localPeers,
	limits: localLimits,
	build:  buildLocal,
}

func buildLocal(l *lab.Lab, v variant, lanes int) *site {
	n := l.Direct()
	settle(n.Client)
	settle(n.Host)
	v.apply(n.Client, "eth0")
	v.apply(n.Host, "eth0")
	frontend := netip.AddrPortFrom(v.of(n.HostAddr), frontendPort)
	backend := netip.AddrPortFrom(v.of(n.HostAddr), backendPort)
	s := &site{client: n.Client, forwarder: n.Host, server: n.Host, listen: []netip.AddrPort{backend}}
	for _, from := range moreAddresses(n.Client, "eth0", v.of(n.ClientAddr), lanes) {
		s.lanes = append(s.lanes, lane{
			site:     s,
			direct:   path{from, backend},
			frontend: path{from, frontend},
			backend:  backend,
		})
	}
	return s
}
