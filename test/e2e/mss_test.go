// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// deaf has machines hear no ICMP error about the size of a packet, as behind many a
// firewall.
func deaf(machines ...*lab.Namespace) {
	for _, machine := range machines {
		machine.Run("nft", `
			table inet deaf {
				chain input {
					type filter hook input priority filter;
					icmp type destination-unreachable drop
					icmpv6 type packet-too-big drop
				}
			}`)
	}
}

// mustTransfer fails the test unless as much arrives in both directions as is sent.
func mustTransfer(t *testing.T, client *lab.Namespace, to netip.AddrPort) {
	t.Helper()
	const size = 300_000
	if err := client.Download(to, size); err != nil {
		t.Errorf("download: %v", err)
	}
	if err := client.Upload(to, size); err != nil {
		t.Errorf("upload: %v", err)
	}
}

// eachFamily runs a test for either family, with offloads and without.
func eachFamily(t *testing.T, site *lab.Site, test func(t *testing.T, host netip.Addr)) {
	t.Helper()
	for _, offloads := range []bool{true, false} {
		site.Offloads(offloads)
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, fmt.Sprintf("offloads %v %s", offloads, family), func(t *testing.T) { test(t, host) })
		}
	}
}

// Whoever hears nothing of a smaller MTU of this host's devices sends no packets that are
// larger.
func TestSmallDevicesWithoutICMP(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	for _, n := range []narrow{narrowToServer[0], narrowToServer[1], narrowToServer[2], narrowToClient[0], narrowToClient[1]} {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			site, server := n.make(lab.New(t))
			deaf(site.Client, server.Namespace)
			server.Bulk(":30080")
			x := site.Host.XFWD()
			place{flags: n.flags}.publish(x, "80", server, 30080)
			eachFamily(t, site, func(t *testing.T, host netip.Addr) { mustTransfer(t, site.Client, at(host, 80)) })

			// Without a clamp one direction hangs, or the test shows nothing.
			x.Do("del", "80")
			n.publish(x, "80", server, 30080)
			for family, host := range site.HostAddr.All() {
				within(t, site.Network, "mss off "+family, func(t *testing.T) {
					if site.Client.Download(at(host, 80), 300_000) == nil && site.Client.Upload(at(host, 80), 300_000) == nil {
						t.Error("with --mss off all arrives")
					}
				})
			}
		})
	}
}

// A rule by which the router clamps what it forwards is followed, though what xfwd sends
// on does not meet it: however it was written.
func TestMSSOfNetfiltersRules(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft", "iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy")
	iptables := func(kind string) func(*lab.Namespace) {
		return func(host *lab.Namespace) {
			for command, mss := range map[string]string{"iptables": "1340", "ip6tables": "1320"} {
				host.Run(command+"-"+kind, strings.Fields("-t mangle -A OUTPUT -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 600")...)
				host.Run(command+"-"+kind, strings.Fields("-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu")...)
				host.Run(command+"-"+kind, strings.Fields("-t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -m comment --comment swallows -j TCPMSS --set-mss "+mss)...)
			}
		}
	}
	for name, clamp := range map[string]func(*lab.Namespace){
		"iptables-nft":    iptables("nft"),
		"iptables-legacy": iptables("legacy"),
		"nft": func(host *lab.Namespace) {
			host.Run("nft", `
				table inet clamp {
					chain out {
						type filter hook output priority mangle;
						tcp flags syn tcp option maxseg size set 600
					}
					chain forward {
						type filter hook forward priority mangle;
						tcp flags syn tcp option maxseg size set rt mtu
						tcp flags & (syn | rst) == syn tcp option maxseg size set 1400
					}
				}
				table ip clamp {
					chain forward {
						type filter hook forward priority mangle;
						tcp flags syn jump clamp
					}
					chain clamp {
						tcp option maxseg size set 1340
					}
				}
				table ip6 clamp {
					chain forward {
						type filter hook forward priority mangle;
						tcp flags syn tcp option maxseg size set 1320
					}
				}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Routed(1400).Containers(1)
			server := site.Servers[0]
			// Nobody hears of the link with 1400 bytes on the way.
			deaf(site.Client, server.Namespace)
			clamp(site.Host)
			server.Bulk(":30080")
			x := site.Host.XFWD()
			for _, backend := range server.Addr.All() {
				result := x.Add("80", at(backend, 30080).String(), "--name", "swallowed", "--replace")
				mss := map[bool]string{true: "1340", false: "1320"}[backend.Is4()]
				if want := "clamps the MSS to " + mss + ", as a rule of netfilter on this host does"; !strings.Contains(result.Stderr, want) {
					t.Errorf("add to %v does not say %q: %s", backend, want, result.Stderr)
				}
			}
			x.Do("del", "--all")
			place{}.publish(x, "80", server, 30080)
			eachFamily(t, site, func(t *testing.T, host netip.Addr) { mustTransfer(t, site.Client, at(host, 80)) })
		})
	}
}

// A number is what the ends are held to at most, and an update takes effect for the next
// connection.
func TestMSSNumber(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	site := lab.New(t).Routed(1400).Containers(1)
	server := site.Servers[0]
	deaf(site.Client, server.Namespace)
	server.Bulk(":30080")
	x := site.Host.XFWD()
	for _, backend := range server.Addr.All() {
		address := netip.AddrPortFrom(site.HostAddr.Of(backend), 80).String()
		x.Add(address, at(backend, 30080).String())
		if result := x.Add(address, at(backend, 30080).String(), "--mss", "1300"); !strings.Contains(result.Stdout, "mss 1300") {
			t.Errorf("the change is not told: %s", result.Stdout)
		}
	}
	eachFamily(t, site, func(t *testing.T, host netip.Addr) { mustTransfer(t, site.Client, at(host, 80)) })
}

// The MTU of a route counts, if it is less than that of its device.
func TestMSSOfRoutes(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft", "ip")
	site := lab.New(t).Routed(1400).Containers(1)
	server := site.Servers[0]
	deaf(site.Client, server.Namespace)
	server.Bulk(":30080")
	x := site.Host.XFWD()
	place{}.publish(x, "80", server, 30080)
	for _, far := range site.FarAddr.All() {
		site.Host.Run("ip", "route", "replace", "default", "via", far.String(), "mtu", "lock", "1400")
	}
	// A command has the next hops of all flows looked up again.
	place{}.publish(x, "80", server, 30080)
	eachFamily(t, site, func(t *testing.T, host netip.Addr) { mustTransfer(t, site.Client, at(host, 80)) })
}
