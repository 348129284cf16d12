// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// iptablesRedirect is the recipe of many years: one rule a protocol.
type iptablesRedirect struct{ inKernel }

func (iptablesRedirect) name() string { return "iptables-nft REDIRECT" }

func (iptablesRedirect) start(s *site) forwarder {
	program := "iptables-nft"
	if s.frontend.Addr().Is6() {
		program = "ip6tables-nft"
	}
	for _, protocol := range []string{"tcp", "udp"} {
		s.forwarder.Run(program, "-t", "nat", "-A", "PREROUTING", "-p", protocol, "--dport", fmt.Sprint(s.frontend.Port()),
			"-j", "REDIRECT", "--to-ports", fmt.Sprint(s.backend.Port()))
	}
	return forwarder{stop: s.flush}
}

// nftablesRedirect looks the port up in a map, as one would with many ports.
type nftablesRedirect struct{ inKernel }

func (nftablesRedirect) name() string { return "nftables map" }

func (nftablesRedirect) start(s *site) forwarder {
	s.forwarder.Run("nft", fmt.Sprintf(`
table inet bench {
	map published {
		type inet_proto . inet_service : inet_service
		elements = { tcp . %[1]d : %[2]d, udp . %[1]d : %[2]d }
	}
	chain prerouting {
		type nat hook prerouting priority dstnat
		fib daddr type local meta l4proto { tcp, udp } redirect to : meta l4proto . th dport map @published
	}
}`, s.frontend.Port(), s.backend.Port()))
	return forwarder{stop: s.flush}
}

// flush removes every table of the forwarder's namespace, iptables' own
// included; with the last one the kernel stops tracking connections there.
func (s *site) flush() { s.forwarder.Run("nft", "flush ruleset") }
