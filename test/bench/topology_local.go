// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/bench/load"
	"github.com/xfwd/xfwd/test/lab"
)

// localPeers can publish a port of the host itself.
var localPeers = []peer{iptablesRedirect{}, nftablesRedirect{}, haproxy{}, xfwd{}, xfwdBystander{}}

// local is client ── host, where the server is a process of the host itself
// and port 80 is published on port 30080.
var local = topology{
	name:   "local",
	title:  "Port 80 → 30080 on one host",
	server: leanServer,
	kinds:  []load.Kind{load.Upload, load.Download, load.KeepAlive, load.Connection, load.Datagram},
	peers:  localPeers,
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
	build:  buildLocal,
}

func buildLocal(l *lab.Lab, v variant, clients int) *site {
	n := l.Direct()
	settle(n.Client)
	settle(n.Host)
	v.apply(n.Client, "eth0")
	v.apply(n.Host, "eth0")
	host := v.of(n.HostAddr)
	return &site{
		client: n.Client, forwarder: n.Host, server: n.Host,
		direct:   netip.AddrPortFrom(host, 30080),
		frontend: netip.AddrPortFrom(host, 80),
		backend:  netip.AddrPortFrom(host, 30080),
		clients:  clientAddresses(n.Client, "eth0", v.of(n.ClientAddr), clients),
	}
}
