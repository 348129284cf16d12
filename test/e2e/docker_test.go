// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// dockerRules are what Docker has netfilter do on its host, for a network of
// containers on bridge br0 and for one more container: nothing is forwarded to
// them, what comes for them by another device is dropped before anything else, and
// what they send out is masqueraded. Each chain counts TCP and UDP in a counter
// of its own name first.
const dockerRules = `
table inet docker {
	counter raw { }
	counter input { }
	counter forward { }
	counter output { }
	counter postrouting { }
	chain raw {
		type filter hook prerouting priority raw; policy accept
		meta l4proto { tcp, udp } counter name raw
		ip daddr CONTAINERS4 iifname != "br0" drop
		ip6 daddr CONTAINERS6 iifname != "br0" drop
		ip daddr ALONE4 iifname != "pod0" drop
		ip6 daddr ALONE6 iifname != "pod0" drop
	}
	chain input {
		type filter hook input priority filter; policy accept
		meta l4proto { tcp, udp } counter name input
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		meta l4proto { tcp, udp } counter name forward
		oifname "br0" ct state established,related accept
		iifname "br0" oifname != "br0" accept
	}
	chain output {
		type filter hook output priority filter; policy accept
		meta l4proto { tcp, udp } counter name output
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept
		meta l4proto { tcp, udp } counter name postrouting
		ip saddr CONTAINERS4 oifname != "br0" masquerade
		ip6 saddr CONTAINERS6 oifname != "br0" masquerade
	}
}
`

// installDockerRules puts the rules on the host of containers.
func installDockerRules(site *lab.Site) {
	network := func(addr netip.Addr, bits int) string {
		return netip.PrefixFrom(addr, bits).Masked().String()
	}
	site.Host.Run("nft", strings.NewReplacer(
		"CONTAINERS4", network(site.HostSide.V4, 24), "CONTAINERS6", network(site.HostSide.V6, 64),
		"ALONE4", site.Alone.Addr.V4.String(), "ALONE6", site.Alone.Addr.V6.String(),
	).Replace(dockerRules))
}

// rulesSaw returns the packets that met netfilter on the host, by the hooks that
// saw any.
func rulesSaw(t *testing.T, site *lab.Site) map[string]int {
	t.Helper()
	var list struct {
		Objects []struct {
			Counter struct {
				Name    string
				Packets int
			}
		} `json:"nftables"`
	}
	output := site.Host.Run("nft", "-j", "list", "counters")
	if err := json.Unmarshal([]byte(output), &list); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	saw := map[string]int{}
	for _, object := range list.Objects {
		if object.Counter.Packets != 0 {
			saw[object.Counter.Name] = object.Counter.Packets
		}
	}
	return saw
}

// Rules for other purposes, such as Docker's, neither break what is forwarded to
// a container nor see any of it, be the container on a bridge or not, and
// whether or not bridged packets meet them, too.
func TestDockerRules(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	for _, bridged := range []bool{false, true} {
		t.Run(fmt.Sprintf("bridge-nf-call-iptables %v", bridged), func(t *testing.T) {
			t.Parallel()
			site := lab.New(t).Containers(2)
			site.Host.BridgeNetfilter(bridged)
			installDockerRules(site)
			site.Client.DefaultRoutes(site.HostAddr)
			x := site.Host.XFWD()
			for i, server := range append(site.Servers, site.Alone) {
				port := uint16(80 + i)
				x.Add(append([]string{fmt.Sprintf("%d/tcp+udp", port)}, backends(server, 30080)...)...)
				x.Add(append([]string{fmt.Sprintf("%d", port+100)}, backends(server, 30081)...)...)
				server.Bulk(":30081")
				for _, network := range networks {
					echo(server.Namespace, server.Addr, network, 30080)
				}
				for family, host := range site.HostAddr.All() {
					within(t, site.Network, fmt.Sprintf("server %d %s", i, family), func(t *testing.T) {
						for _, network := range networks {
							conn := site.Client.MustConnect(network, at(host, port))
							mustEcho(t, conn)
							mustSee(t, conn)
							// Its sibling and itself.
							mustEcho(t, site.Servers[0].MustConnect(network, at(host, port)))
						}
						if err := site.Client.Upload(at(host, port+100), 10_000_000); err != nil {
							t.Errorf("to the container: %v", err)
						}
						if err := site.Client.Download(at(host, port+100), 10_000_000); err != nil {
							t.Errorf("from the container: %v", err)
						}
					})
				}
			}
			if saw := rulesSaw(t, site); len(saw) != 0 {
				t.Errorf("netfilter saw packets: %v", saw)
			}
			for _, addr := range site.Servers[0].Addr.All() {
				if _, err := site.Client.Connect("udp", at(addr, 30080), anyPort); err == nil {
					t.Errorf("%v is reached without us: the test does not test what it says", addr)
				}
			}
			if saw := rulesSaw(t, site); saw["raw"] == 0 {
				t.Error("no rule counts: the test does not test what it says")
			}
			// One more container is asked by the first, directly.
			before := rulesSaw(t, site)["forward"]
			for _, addr := range site.Servers[1].Addr.All() {
				site.Servers[0].Connect("udp", at(addr, 30080), anyPort)
			}
			if met := rulesSaw(t, site)["forward"] != before; met != bridged {
				t.Errorf("bridged packets meet netfilter: %v, want %v: the test does not test what it says", met, bridged)
			}
		})
	}
}

// What is forwarded meets no rule of the host, wherever the backend is.
func TestNetfilterSeesNothing(t *testing.T) {
	lab.Need(t, "nft")
	everywhere(t, func(t *testing.T, p place, site *lab.Site, server lab.Server) {
		site.Host.Run("nft", `
			table inet watch {
				counter prerouting { }
				counter input { }
				counter forward { }
				counter output { }
				counter postrouting { }
				chain prerouting { type filter hook prerouting priority raw; meta l4proto { tcp, udp } counter name prerouting; }
				chain input { type filter hook input priority filter; meta l4proto { tcp, udp } counter name input; }
				chain forward { type filter hook forward priority filter; meta l4proto { tcp, udp } counter name forward; }
				chain output { type filter hook output priority filter; meta l4proto { tcp, udp } counter name output; }
				chain postrouting { type filter hook postrouting priority srcnat; meta l4proto { tcp, udp } counter name postrouting; }
			}`)
		p.publish(site.Host.XFWD(), "80/tcp+udp", server, 30080)
		for _, network := range networks {
			echo(server.Namespace, server.Addr, network, 30080)
			for _, host := range site.HostAddr.All() {
				conn := site.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				if network == "tcp" {
					conn.Close()
				}
			}
		}
		if saw := rulesSaw(t, site); len(saw) != 0 {
			t.Errorf("netfilter saw packets: %v", saw)
		}
		for _, host := range site.HostAddr.All() {
			site.Client.Connect("udp", at(host, 81), anyPort)
		}
		if saw := rulesSaw(t, site); saw["input"] == 0 {
			t.Error("no rule counts: the test does not test what it says")
		}
	})
}
