// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// kubeProxyRules are what kube-proxy has netfilter do on a node with the addresses of
// a lab's host, in each of its modes: files of testdata, which say where they are from.
// Two Services of two pods each have a NodePort, TCP and UDP: 30080, and 30081 with
// externalTrafficPolicy Local.
var kubeProxyRules = map[string][]struct{ load, file string }{
	"iptables": {
		{"iptables-restore", "testdata/kube-proxy-iptables.rules"},
		{"ip6tables-restore", "testdata/kube-proxy-ip6tables.rules"},
	},
	"nftables": {{"nft", "testdata/kube-proxy-nftables.rules"}},
}

// loadKubeProxyRules puts them on the host.
func loadKubeProxyRules(t *testing.T, host *lab.Namespace, mode string) {
	t.Helper()
	for _, rules := range kubeProxyRules[mode] {
		lab.Need(t, rules.load)
		file, err := filepath.Abs(rules.file)
		if err != nil {
			t.Fatal(err)
		}
		if rules.load == "nft" {
			host.Run("nft", "-f", file)
		} else {
			host.Run(rules.load, file)
		}
	}
}

// In front of the NodePorts that kube-proxy makes, in both of its modes, a port of the
// node serves clients outside, the node and its pods, at every address of the node and
// at virtual ones, before and after the node has those itself.
func TestKubeProxyRules(t *testing.T) {
	t.Parallel()
	for mode := range kubeProxyRules {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			net.Host.DefaultRoutes(net.ClientAddr)
			pods := net.Pods(2, 1500)
			if net.Host.HaveBridgeNetfilter() {
				net.Host.BridgeNetfilter(true)
			}
			loadKubeProxyRules(t, net.Host, mode)
			x := net.Host.XFWD()
			x.Add("80/tcp+udp", "30080")
			x.Add("81/tcp+udp", "30081")
			for _, vip := range net.VIP.All() {
				x.Add(frontend(vip, "80/tcp+udp"), "30080")
			}
			for _, pod := range pods {
				for _, addr := range pod.Addr.All() {
					for _, network := range networks {
						pod.Echo(network, at(addr, 8080).String())
					}
				}
			}
			for family, host := range net.HostAddr.All() {
				for _, network := range networks {
					within(t, net, network+" "+family, func(t *testing.T) {
						testKubeProxy(t, net, pods, network, host)
					})
				}
			}
			for _, vip := range net.VIP.All() {
				net.Host.Address("eth0", netip.PrefixFrom(vip, vip.BitLen()))
			}
			// xfwd learns of the addresses.
			x.Add("82/tcp+udp", "30080")
			for family, vip := range net.VIP.All() {
				for _, network := range networks {
					within(t, net, network+" at an own virtual address "+family, func(t *testing.T) {
						for range 4 {
							mustEcho(t, net.Client.MustConnect(network, at(vip, 80)))
							mustEcho(t, net.Client.MustConnect(network, at(vip, 82)))
							mustEcho(t, net.Host.MustConnect(network, at(vip, 80)))
						}
					})
				}
			}
		})
	}
}

// testKubeProxy asks for everything by one protocol at an address of the node.
func testKubeProxy(t *testing.T, net *lab.Network, pods []lab.Pod, network string, host netip.Addr) {
	t.Helper()
	for _, to := range []netip.AddrPort{at(host, 80), at(net.VIP.Of(host), 80), at(host, 30080), at(host, 81), at(host, 30081)} {
		reached := map[netip.AddrPort]int{}
		for range 20 {
			conn := net.Client.MustConnect(network, to)
			mustEcho(t, conn)
			reached[conn.Server]++
			// kube-proxy keeps the client's address where the policy is Local.
			if to.Port() == 81 {
				mustSee(t, conn)
			}
		}
		if len(reached) != len(pods) {
			t.Errorf("%v reached %v, want all pods", to, reached)
		}
	}
	loopback := lab.Addresses{V4: netip.MustParseAddr("127.0.0.1"), V6: netip.IPv6Loopback()}
	for range 4 {
		mustEcho(t, net.Host.MustConnect(network, at(host, 80)))
		mustEcho(t, net.Host.MustConnect(network, at(loopback.Of(host), 80)))
		for _, pod := range pods {
			mustEcho(t, pod.MustConnect(network, at(host, 80)))
		}
	}
}
