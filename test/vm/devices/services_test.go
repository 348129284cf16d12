// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// The addresses of services are on a dummy device, and IPVS takes what is sent to them.
// A forward without an address leaves them to IPVS, those that come later too. The device
// of kube-proxy is down; that of other services may be up.
func TestIPVSKeepsAddressesOfServices(t *testing.T) {
	t.Parallel()
	needVM(t, "IPVS")
	lab.Need(t, "ipvsadm", "sh")
	for device, up := range map[string]bool{"kube-ipvs0": false, "services0": true} {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			pods := net.Pods(2, 1500)
			net.Host.DefaultRoutes(net.ClientAddr)
			addDummy(t, net.Host, device, up)
			old := lab.Addresses{V4: netip.MustParseAddr("10.96.0.10"), V6: netip.MustParseAddr("2001:db8:96::10")}
			fresh := lab.Addresses{V4: netip.MustParseAddr("10.96.0.11"), V6: netip.MustParseAddr("2001:db8:96::11")}
			has := func(service lab.Addresses) {
				for _, a := range service.All() {
					net.Host.Address(device, netip.PrefixFrom(a, a.BitLen()))
					net.Client.Route(netip.PrefixFrom(a, a.BitLen()), net.HostAddr.Of(a))
					addIPVS(net.Host, []netip.AddrPort{at(a, 80)}, pods[1:])
				}
			}
			has(old)
			for _, network := range networks {
				// Bound to addresses, to tell which server was reached.
				for _, addr := range pods[1].Addr.All() {
					pods[1].Echo(network, at(addr, 8080).String())
				}
			}
			x := publish(net.Host)
			has(fresh)
			for _, a := range old.All() {
				x.Add(netip.AddrPortFrom(a, 81).String()+"/tcp+udp", "30080")
			}
			ask := func(network string, from *lab.Namespace, to netip.AddrPort, port uint16) {
				t.Helper()
				conn := from.MustConnect(network, to)
				mustEcho(t, conn)
				if conn.Server.Port() != port {
					t.Errorf("%s from %s to %v: %v answered, want port %d", network, from.Name, to, conn.Server, port)
				}
			}
			for _, network := range networks {
				for family, a := range old.All() {
					t.Run(network+" "+family, func(t *testing.T) {
						net.Lab.Within(t)
						for _, from := range []*lab.Namespace{net.Client, pods[0].Namespace, net.Host} {
							ask(network, from, at(a, 80), 8080)
							ask(network, from, at(fresh.Of(a), 80), 8080)
							ask(network, from, at(a, 81), 30080)
							ask(network, from, at(net.HostAddr.Of(a), 80), 30080)
						}
					})
				}
			}
			mustDropOnly(t, x)
		})
	}
}

// A host may have its own address on a dummy device or on lo. A forward that names it
// serves it. A forward without an address means the one on lo, and not the one on the
// dummy device, which may be that of a service.
func TestOwnAddressOnDummy(t *testing.T) {
	t.Parallel()
	for _, forwards := range []bool{false, true} {
		t.Run(fmt.Sprintf("forwards %v", forwards), func(t *testing.T) {
			t.Parallel()
			net := lab.New(t).Direct()
			if forwards {
				net.Host.Forwarding()
				net.Host.DefaultRoutes(net.ClientAddr)
			}
			addDummy(t, net.Host, "dummy0", true)
			onDummy := lab.Addresses{V4: netip.MustParseAddr("203.0.113.1"), V6: netip.MustParseAddr("2001:db8:113::1")}
			onLo := lab.Addresses{V4: netip.MustParseAddr("203.0.113.2"), V6: netip.MustParseAddr("2001:db8:113::2")}
			var named []string
			for device, addresses := range map[string]lab.Addresses{"dummy0": onDummy, "lo": onLo} {
				for _, a := range addresses.All() {
					net.Host.Address(device, netip.PrefixFrom(a, a.BitLen()))
					net.Client.Route(netip.PrefixFrom(a, a.BitLen()), net.HostAddr.Of(a))
					named = append(named, fmt.Sprintf("%q", a))
				}
			}
			x := publish(net.Host)
			file := filepath.Join(t.TempDir(), "forwards.yaml")
			content := fmt.Sprintf("apiVersion: xfwd/v1\nforwards:\n  - {frontend: 81/tcp+udp, addresses: [%s], backends: [30080]}\n",
				strings.Join(named, ", "))
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			x.Do("apply", "-f", file)
			for _, network := range networks {
				for family := range onLo.All() {
					t.Run(network+" "+family, func(t *testing.T) {
						net.Lab.Within(t)
						of := func(a lab.Addresses) netip.Addr { return map[string]netip.Addr{"IPv4": a.V4, "IPv6": a.V6}[family] }
						for _, to := range []netip.AddrPort{at(of(onDummy), 81), at(of(onLo), 81), at(of(onLo), 80), at(of(net.HostAddr), 80)} {
							mustConnectAsSeen(t, net.Client, network, to)
							mustEcho(t, net.Host.MustConnect(network, to))
						}
						for _, to := range []netip.AddrPort{at(of(onDummy), 80), at(of(net.HostAddr), 81)} {
							if _, err := net.Client.Connect(network, to, anyPort); !errors.Is(err, syscall.ECONNREFUSED) {
								t.Errorf("the client asked %v and got %v, want that it is refused", to, err)
							}
						}
					})
				}
			}
			mustDropOnly(t, x)
		})
	}
}

// addDummy makes a dummy device, which is down unless it shall be up.
func addDummy(t *testing.T, host *lab.Namespace, name string, up bool) {
	t.Helper()
	addDevice(t, host, &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name}})
	if !up {
		host.Down(name)
	}
}

// addIPVS has IPVS spread ports of the host, TCP and UDP, over port 8080 of pods.
func addIPVS(host *lab.Namespace, services []netip.AddrPort, pods []lab.Pod) {
	var rules strings.Builder
	for _, service := range services {
		for _, option := range []string{"-t", "-u"} {
			fmt.Fprintf(&rules, "-A %s %v -s rr\n", option, service)
			for _, pod := range pods {
				fmt.Fprintf(&rules, "-a %s %v -r %v -m\n", option, service, at(pod.Addr.Of(service.Addr()), 8080))
			}
		}
	}
	host.Run("sh", "-c", "ipvsadm --restore <<end\n"+rules.String()+"end\n")
}
