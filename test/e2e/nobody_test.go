// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Where nothing listens on a target of this host, and nothing translates either, add
// says what clients get.
func TestAddSaysThatNothingListens(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	mustTell(t, x.Add("80", "30080").Stderr, `warning: nothing listens on port 30080 of this host yet; clients of 80/tcp get "connection refused"`)
	mustTell(t, x.Add("80/udp", "30080").Stderr, `warning: nothing listens on port 30080 of this host yet; clients of 80/udp get "port unreachable"`)
	mustTell(t, x.Add("81-83", "30081-30083").Stderr, `nothing listens on ports 30081-30083 of this host yet; clients of 81-83/tcp get "connection refused"`)
	mustTell(t, x.Add("84", net.HostAddr.V4.String()+":30084").Stderr, "nothing listens on port 30084 of "+net.HostAddr.V4.String()+" yet")
	net.Host.Echo("udp", ":30085")
	net.Host.Echo("tcp", ":30092")
	for _, served := range [][]string{{"85/udp", "30085"}, {"90-94", "30090-30094"}, {"92", "30092"}} {
		mustNotTell(t, x.Add(served...).Stderr, "nothing listens")
	}
}

// A NodePort has no socket. Of TCP add finds out that it answers. Of UDP and of ranges
// nobody can know, so add says nothing.
func TestAddSaysNothingOfNodePorts(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	net := lab.New(t).Direct()
	pods := net.Pods(2, 1500)
	for _, pod := range pods {
		for _, network := range networks {
			pod.Echo(network, ":8080")
		}
	}
	nodePort(net, pods, 30080, 8080)
	x := net.Host.XFWD()
	for _, words := range [][]string{{"80/tcp+udp", "30080"}, {"81-83/tcp+udp", "30078-30080"}, {"90", "30080"}} {
		mustNotTell(t, x.Add(words...).Stderr, "nothing listens")
	}
	for _, network := range networks {
		for family, host := range net.HostAddr.All() {
			within(t, net, network+" "+family, func(t *testing.T) {
				for _, port := range []uint16{80, 83} {
					mustEcho(t, net.Client.MustConnect(network, at(host, port)))
				}
			})
		}
	}
	// TCP has been asked at this port.
	mustTell(t, x.Add("91", "30099").Stderr, "nothing listens on port 30099")
}

// Legacy tables and IPVS may serve ports as well.
func TestAddKnowsOtherTranslators(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft", "iptables-legacy")
	for name, rule := range map[string][]string{
		"iptables-legacy": {"iptables-legacy", "-t", "nat", "-A", "PREROUTING", "-p", "udp", "--dport", "30080", "-j", "REDIRECT", "--to-ports", "8080"},
		"nat of nftables": {"nft", "add table ip nat; add chain ip nat prerouting { type nat hook prerouting priority dstnat; }"},
		"tproxy":          {"nft", "add table ip m; add chain ip m p { type filter hook prerouting priority mangle; }"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			x := net.Host.XFWD()
			mustTell(t, x.Add("79/udp", "30080").Stderr, "nothing listens")
			net.Host.Run(rule[0], rule[1:]...)
			mustNotTell(t, x.Add("80/udp", "30080").Stderr, "nothing listens")
		})
	}
	t.Run("filter of nftables", func(t *testing.T) {
		t.Parallel()
		net := lab.New(t).Direct()
		net.Host.Run("nft", "add table inet f; add chain inet f input { type filter hook input priority filter; }")
		mustTell(t, net.Host.XFWD().Add("80/udp", "30080").Stderr, "nothing listens")
	})
}

// The question whether a target answers is no client of another forward.
func TestAddAsksNoOtherForward(t *testing.T) {
	t.Parallel()
	net := lab.New(t).Direct()
	x := net.Host.XFWD()
	net.Host.Echo("tcp", ":9090")
	x.Add("8080", "9090")
	mustTell(t, x.Add("80", "8080").Stderr, "nothing listens on port 8080")
	if opened := x.Counters("8080").Connections.Opened; opened != 0 {
		t.Errorf("8080/tcp has opened %d connections", opened)
	}
}
