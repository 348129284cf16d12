// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// iptablesRedirect is the recipe of many years: one rule a protocol.
type iptablesRedirect struct{ inKernel }

func (iptablesRedirect) name() string { return "iptables-nft REDIRECT" }

func (iptablesRedirect) start(l lane) forwarder {
	for _, protocol := range []string{"tcp", "udp"} {
		l.iptables("-A", "PREROUTING", "-p", protocol, "--dport", fmt.Sprint(l.frontend.to.Port()),
			"-j", "REDIRECT", "--to-ports", fmt.Sprint(l.backend.Port()))
	}
	return forwarder{stop: l.flush}
}

// iptablesDNAT is the recipe for a backend that is not this host, as Docker and
// home routers have it: the backend sees the host's address.
type iptablesDNAT struct{ inKernel }

func (iptablesDNAT) name() string { return "iptables-nft DNAT + MASQUERADE" }

func (iptablesDNAT) start(l lane) forwarder {
	for _, protocol := range []string{"tcp", "udp"} {
		l.iptables("-A", "PREROUTING", "-d", l.frontend.to.Addr().String(), "-p", protocol,
			"--dport", fmt.Sprint(l.frontend.to.Port()), "-j", "DNAT", "--to-destination", l.backend.String())
		l.iptables("-A", "POSTROUTING", "-d", l.backend.Addr().String(), "-p", protocol,
			"--dport", fmt.Sprint(l.backend.Port()), "-j", "MASQUERADE")
	}
	return forwarder{stop: l.flush}
}

// iptables changes the nat table.
func (l lane) iptables(args ...string) {
	program := "iptables-nft"
	if l.frontend.to.Addr().Is6() {
		program = "ip6tables-nft"
	}
	l.forwarder.Run(program, append([]string{"-t", "nat"}, args...)...)
}

// nftablesRedirect looks the port up in a map, as one would with many ports.
type nftablesRedirect struct{ inKernel }

func (nftablesRedirect) name() string { return "nftables map" }

func (nftablesRedirect) start(l lane) forwarder {
	l.forwarder.Run("nft", fmt.Sprintf(`
table inet bench {
	map published {
		type inet_proto . inet_service : inet_service
		elements = { tcp . %[1]d : %[2]d, udp . %[1]d : %[2]d }
	}
	chain prerouting {
		type nat hook prerouting priority dstnat
		fib daddr type local meta l4proto { tcp, udp } redirect to : meta l4proto . th dport map @published
	}
}`, l.frontend.to.Port(), l.backend.Port()))
	return forwarder{stop: l.flush}
}

// nftablesDNAT does the same for a backend that is not this host, and
// masquerades.
type nftablesDNAT struct{ inKernel }

func (nftablesDNAT) name() string { return "nftables map" }

func (nftablesDNAT) start(l lane) forwarder {
	family, address := "ip", "ipv4_addr"
	if l.backend.Addr().Is6() {
		family, address = "ip6", "ipv6_addr"
	}
	l.forwarder.Run("nft", fmt.Sprintf(`
table %[1]s bench {
	map published {
		type inet_proto . inet_service : %[2]s . inet_service
		elements = { tcp . %[3]d : %[4]s . %[5]d, udp . %[3]d : %[4]s . %[5]d }
	}
	chain prerouting {
		type nat hook prerouting priority dstnat
		fib daddr type local meta l4proto { tcp, udp } dnat %[1]s to meta l4proto . th dport map @published
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		ct status dnat masquerade
	}
}`, family, address, l.frontend.to.Port(), l.backend.Addr(), l.backend.Port()))
	return forwarder{stop: l.flush}
}

// flush removes every table of the forwarder's namespace, iptables' own
// included; with the last one the kernel stops tracking connections there.
func (s *site) flush() { s.forwarder.Run("nft", "flush ruleset") }
