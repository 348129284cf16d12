// SPDX-License-Identifier: Apache-2.0

// Command bench measures what a port forwarder costs: the processor time that
// a unit of work takes in the whole system, relative to the same work with no
// forwarder at all: to a process of the host itself, to a container behind it
// and to another host on the same network. Beside that, it runs xfwd's programs
// by themselves, for what one packet takes and for a million flows at once. It
// needs root, and the programs of the peers that it compares: nft, iptables-nft,
// haproxy and nginx.
//
//	go run ./test/bench -rounds 15
//
// The work runs in network namespaces that live for one round. Client, server
// and forwarder are processes whose processor time is read before and after a
// fixed amount of work (see load.CPUTime); what other processes of the machine
// use is not in it. All of them share one processor unless -cpus says
// otherwise: they take turns in the same order every time, and no cache line
// travels.
//
// In a round every peer does every kind of work once, in random order. A peer
// is compared with direct in the same round only, so that a machine which is
// slower for a while is slower for both; the table shows the median of these
// ratios and the first and third quartile. Direct is measured twice a round:
// the ratio of the second to the first, direct′, would be 1 without noise.
package main
