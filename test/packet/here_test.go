// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"testing"
)

// Where the target is the host and names no address, a packet goes to an address that
// its client is answered from.
func TestWhereOnThisHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for port, at := range map[uint16][]netip.Addr{
		30053: {netip.IPv6Unspecified()},
		30054: {second.V4, second.V6},
		30055: {host.V4, host.V6},
	} {
		for _, a := range at {
			address := netip.AddrPortFrom(a, port).String()
			w.host.Echo("udp", address)
			w.host.Echo("tcp", address)
		}
	}
	// ask is the first packet of a client that came by eth0, whose primary address is host's.
	ask := func(from, asked machine, frontend int, target machine, port int, b body) exchange {
		return arrives(between(from.at(40000), asked.at(frontend), b)).becomes(between(from.at(40000), target.at(port), b)).opening()
	}
	tcp := func(asked machine, frontend int, target machine, port int) exchange {
		return ask(client, asked, frontend, target, port, syn(1))
	}
	datagram := func(from, asked machine, frontend int, target machine, port int) exchange {
		return ask(from, asked, frontend, target, port, udp("?"))
	}
	forwards := []string{"53/tcp+udp 30053", "54/tcp+udp 30054", "55/tcp+udp 30055", "56/tcp+udp 30056"}
	named := []string{"second:53/tcp+udp 30053", "second:54/tcp+udp 30054", "second:56/tcp+udp 30056", "vip:53/tcp+udp 30053"}
	var cases []testCase
	for _, stub := range []bool{false, true} {
		name := map[bool]string{false: "router: ", true: "stub: "}[stub]
		with := forwards
		one := func(what string, s ...step) {
			cases = append(cases, testCase{name: name + what, forwards: with, stub: stub, links: []linkLayer{ethernet, raw}, steps: s})
		}
		one("a socket without an address", tcp(second, 53, second, 30053), datagram(client, second, 53, host, 30053))
		one("a socket with the address that was asked", tcp(second, 54, second, 30054), datagram(client, second, 54, second, 30054))
		one("a socket with another address", tcp(second, 55, host, 30055), datagram(client, second, 55, host, 30055))
		one("no socket", tcp(second, 56, host, 30056), datagram(client, second, 56, host, 30056))
		one("the primary address of the device", tcp(host, 56, host, 30056), datagram(client, host, 53, host, 30053))
		one("the primary address of the host by another device",
			tcp(host, 56, host, 30056).on("eth1"), datagram(client, host, 56, host, 30056).on("eth1"))
		one("a client in the network of the address that was asked",
			datagram(remote, second, 53, second, 30053))
		with = named
		one("a frontend with the address, and a socket without", tcp(second, 53, second, 30053), datagram(client, second, 53, host, 30053))
		one("a frontend and a socket with the address", tcp(second, 54, second, 30054), datagram(client, second, 54, second, 30054))
		one("a frontend with the address, and no socket", tcp(second, 56, host, 30056), datagram(client, second, 56, host, 30056))
		one("a virtual address", tcp(vip, 53, host, 30053), datagram(client, vip, 53, host, 30053))
	}
	// A router knows by which device the answer leaves, and so from which address.
	for _, with := range [][]string{forwards, named} {
		cases = append(cases, testCase{
			name: "router: a client behind another device, " + with[0], forwards: with,
			steps: []step{datagram(pod, second, 53, gateway, 30053)},
		})
	}
	w.runCases(t, cases)
}

// Nobody but a router's own neighbours has a link-local address, so no other takes its
// place.
func TestLinkLocalOnThisHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ours := addresses("169.254.7.1", "fe80::7:1")
	for _, a := range []netip.Addr{ours.V4, ours.V6} {
		w.host.Address("eth0", netip.PrefixFrom(a, a.BitLen()))
	}
	w.runCases(t, []testCase{{
		name:     "no socket",
		forwards: []string{"80/tcp+udp 30080"},
		links:    onlyEthernet,
		steps:    through(linkLocal.at(40000), ours.at(80), ours.at(30080)).handshake(),
	}})
}
