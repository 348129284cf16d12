// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"

	"github.com/xfwd/xfwd/test/lab"
)

// local is client ── host, where the server is a process of the host itself
// and port 80 is published on port 30080.
var local = topology{
	name:  "local",
	title: "Port 80 → 30080 on one host",
	peers: []peer{iptablesRedirect{}, nftablesRedirect{}, haproxy{}, xfwd{}, xfwdBystander{}},
	build: func(l *lab.Lab, v variant) *site {
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
		}
	},
}
