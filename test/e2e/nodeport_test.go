// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// nodePort has netfilter of the host hand what comes to a port, TCP and UDP, to
// a port of one of two pods by turns, as a Kubernetes NodePort does: the
// client's address is kept, but for pods that talk to pods.
func nodePort(net *lab.Network, pods []lab.Pod, port, target uint16) {
	var rules strings.Builder
	for _, family := range []struct {
		nft, ip string
		addr    func(lab.Addresses) netip.Addr
	}{
		{"ip", "ip", func(a lab.Addresses) netip.Addr { return a.V4 }},
		{"ip6", "ip6", func(a lab.Addresses) netip.Addr { return a.V6 }},
	} {
		for _, chain := range []string{"prerouting", "output"} {
			for _, network := range networks {
				fmt.Fprintf(&rules, "add rule %s node %s fib daddr type local %s dport %d dnat to numgen inc mod 2 map { 0 : %v, 1 : %v } : %d\n",
					family.nft, chain, network, port, family.addr(pods[0].Addr), family.addr(pods[1].Addr), target)
			}
		}
		for _, pod := range pods {
			for _, other := range pods {
				fmt.Fprintf(&rules, "add rule %s node postrouting %s saddr %v %s daddr %v masquerade\n",
					family.nft, family.ip, family.addr(pod.Addr), family.ip, family.addr(other.Addr))
			}
		}
	}
	net.Host.Run("nft", nodePortTables+rules.String())
}

const nodePortTables = `
add table ip node
add chain ip node prerouting { type nat hook prerouting priority dstnat; }
add chain ip node output { type nat hook output priority -100; }
add chain ip node postrouting { type nat hook postrouting priority srcnat; }
add table ip6 node
add chain ip6 node prerouting { type nat hook prerouting priority dstnat; }
add chain ip6 node output { type nat hook output priority -100; }
add chain ip6 node postrouting { type nat hook postrouting priority srcnat; }
`

// What answers behind the target may be another translator: a NodePort on 30080
// that netfilter spreads over two pods. The pods see the client's real address,
// and those who use the NodePort directly notice nothing.
func TestNodePortBehindTarget(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads of the host %v", offloads), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			pods := net.Pods(2, 1500)
			for _, device := range []string{"eth0", "pod0", "pod1"} {
				// When off, the host itself must finish checksums that client and
				// pods have left to devices.
				net.Host.Offloads(device, offloads)
			}
			testNodePort(t, net, pods)
		})
	}
}

func testNodePort(t *testing.T, net *lab.Network, pods []lab.Pod) {
	t.Helper()
	nodePort(net, pods, 30080, 8080)
	x := net.Host.XFWD()
	x.Add("80/tcp+udp", "30080")
	for _, vip := range net.VIP.All() {
		x.Add(frontend(vip, "80/tcp+udp"), "30080")
	}
	for _, network := range networks {
		for _, pod := range pods {
			// Bound to addresses, to tell which pod was reached.
			for _, addr := range pod.Addr.All() {
				pod.Echo(network, at(addr, 8080).String())
			}
		}
		for family, host := range net.HostAddr.All() {
			within(t, net, network+" "+family, func(t *testing.T) {
				for _, to := range []netip.AddrPort{at(host, 80), at(net.VIP.Of(host), 80), at(host, 30080)} {
					reached := map[netip.AddrPort]int{}
					for range 10 {
						// One port for two of these would have to be changed.
						conn, err := net.Client.Connect(network, to, at(net.ClientAddr.Of(host), freshPort()))
						if err != nil {
							t.Fatal(err)
						}
						mustEcho(t, conn)
						mustSee(t, conn)
						reached[conn.Server]++
					}
					if len(reached) != 2 {
						t.Errorf("%v reached %v, want both pods", to, reached)
					}
				}
			})
		}
	}
	for family, host := range net.HostAddr.All() {
		within(t, net, "200 connections at once "+family, func(t *testing.T) { manyAtOnce(t, net, at(host, 80)) })
		within(t, net, "from the host itself "+family, func(t *testing.T) {
			// A NodePort serves no loopback address; the port that is published does.
			loopback := lab.Addresses{V4: netip.MustParseAddr("127.0.0.1"), V6: netip.IPv6Loopback()}
			for _, own := range []netip.Addr{host, loopback.Of(host)} {
				for _, network := range networks {
					conn := net.Host.MustConnect(network, at(own, 80))
					mustEcho(t, conn)
					if got := peer(t, conn.Conn); got != at(own, 80) {
						t.Errorf("getpeername says %v, the program asked for %v", got, at(own, 80))
					}
				}
			}
		})
		within(t, net, "from a pod "+family, func(t *testing.T) {
			for range 4 {
				mustEcho(t, pods[0].MustConnect("tcp", at(host, 80)))
				mustEcho(t, pods[1].MustConnect("udp", at(host, 80)))
			}
		})
		within(t, net, "4 kB datagrams "+family, func(t *testing.T) {
			conn := net.Client.MustConnect("udp", at(host, 80))
			for range 10 {
				if err := conn.Echo(make([]byte, 4096)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// manyAtOnce opens 200 TCP connections at once and uses them all at the same
// time.
func manyAtOnce(t *testing.T, net *lab.Network, to netip.AddrPort) {
	t.Helper()
	const count = 200
	conns := make([]*lab.Conn, count)
	failures := make([]error, count)
	var dialing, echoing sync.WaitGroup
	for i := range count {
		dialing.Go(func() { conns[i], failures[i] = net.Client.Connect("tcp", to, anyPort) })
	}
	dialing.Wait()
	for i, conn := range conns {
		if failures[i] == nil {
			mustSee(t, conn)
			echoing.Go(func() { failures[i] = conn.Echo(make([]byte, 10_000)) })
		}
	}
	echoing.Wait()
	for i, err := range failures {
		if err != nil {
			t.Errorf("connection %d of %d: %v", i, count, err)
		}
	}
}
