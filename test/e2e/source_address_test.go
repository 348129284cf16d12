// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"

	"github.com/xfwd/xfwd/test/lab"
)

// pooledSite is a site whose host has some addresses more on the servers' network, and the flags
// to masquerade as these.
func pooledSite(t *testing.T, servers, count int) (site *lab.Site, pool []lab.Addresses, flags []string) {
	t.Helper()
	site = lab.New(t).TwoArmed(servers)
	for i := range count {
		v4, v6 := site.HostSide.V4.As4(), site.HostSide.V6.As16()
		v4[3], v6[15] = byte(50+i), byte(50+i)
		a := lab.Addresses{V4: netip.AddrFrom4(v4), V6: netip.AddrFrom16(v6)}
		site.Host.Address("eth1", netip.PrefixFrom(a.V4, 24))
		site.Host.Address("eth1", netip.PrefixFrom(a.V6, 64))
		pool = append(pool, a)
		for _, addr := range a.All() {
			flags = append(flags, "--source-address", addr.String())
		}
	}
	return site, pool, flags
}

// A client keeps one address of several in all its connections, and clients share them. What the
// forward says is saved, shown and restored.
func TestSourceAddresses(t *testing.T) {
	t.Parallel()
	site, pool, flags := pooledSite(t, 1, 2)
	server := site.Servers[0]
	const clients = 16
	addresses := []lab.Addresses{site.ClientAddr}
	for i := range clients {
		addresses = append(addresses, site.Client.Join("eth0", 10, 10+i))
	}
	site.Host.Join("eth0", 10, 1)
	x := site.Host.XFWD()
	said := notes(x.Add(append(append([]string{"80/tcp+udp", "--source", "masquerade"}, flags...), backends(server, 30080)...)...))
	if want := "source masqueraded as " + pool[0].V4.String() + " or " + pool[1].V4.String(); !strings.Contains(said, want) {
		t.Errorf("add says %q, want %q", said, want)
	}
	check := func(t *testing.T) {
		t.Helper()
		for _, network := range networks {
			for _, host := range site.HostAddr.All() {
				used := make(map[netip.Addr]bool)
				for i, from := range addresses {
					of := make(map[netip.Addr]bool)
					for k := range 3 {
						conn, err := site.Client.Connect(network, at(host, 80), at(from.Of(host), uint16(5000+100*k+i)))
						if err != nil {
							t.Fatal(err)
						}
						mustEcho(t, conn)
						of[conn.Client.Addr()], used[conn.Client.Addr()] = true, true
						conn.Close()
					}
					if len(of) != 1 {
						t.Errorf("%s: %v is seen as %v, want one", network, from.Of(host), of)
					}
				}
				if len(used) != 2 || !used[pool[0].Of(host)] || !used[pool[1].Of(host)] {
					t.Errorf("%s: clients are seen as %v, want %v", network, used, pool)
				}
			}
		}
	}
	for _, network := range networks {
		server.Echo(network, ":30080")
	}
	check(t)
	saved := x.Do("save", "-").Stdout
	for _, a := range pool {
		for _, addr := range a.All() {
			for what, text := range map[string]string{"save": saved, "show": x.Do("show", "80/tcp").Stdout, "list": x.Do("list", "-o", "json").Stdout} {
				if !strings.Contains(text, addr.String()) {
					t.Errorf("%s does not show %v:\n%s", what, addr, text)
				}
			}
		}
	}
	x.Do("del", "--all")
	file := filepath.Join(t.TempDir(), "forwards.yaml")
	if err := os.WriteFile(file, []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	x.Do("restore", file)
	check(t)
}

// More flows than one address has ports: the second address has room for the others, and no two
// of them are the same for the backend.
func TestSourceAddressesMultiplyPorts(t *testing.T) {
	t.Parallel()
	site, pool, flags := pooledSite(t, 1, 2)
	server, host := site.Servers[0], site.HostAddr.V4
	x := site.Host.XFWD()
	x.MaxFlows = "65536"
	x.Add(append(append([]string{"80/udp", "--source", "masquerade"}, flags...), backends(server, 30080)...)...)
	server.Echo("udp", ":30080")
	mustEcho(t, site.Client.MustConnect("udp", at(host, 80)))
	injector := site.Client.Injector("eth0", site.Host, "eth0")
	const first, last = 32768, 60999
	for port := first; port <= last; port++ {
		injector.Send(site.ClientAddr.V4, host, &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 80}, []byte("hello"))
	}
	lab.Eventually(t, 10*lab.Patience, func() error {
		counters := x.Counters("80/udp")
		opened, refused := counters.Connections.Opened, counters.Drops["no-source-port"]
		if opened+refused < last-first+1 {
			return fmt.Errorf("%d flows and %d refusals", opened, refused)
		}
		return nil
	})
	// A port is tried at random, so one in a thousand may find none where half of all are taken.
	if refused := x.Counters("80/udp").Drops["no-source-port"]; refused > 30 {
		t.Errorf("%d of %d flows are refused", refused, last-first+1)
	}
	used := make(map[netip.AddrPort]bool)
	of := make(map[netip.Addr]int)
	for _, flow := range x.Flows() {
		seen := at(netip.MustParseAddr(flow.Source.Address), flow.Source.Port)
		if used[seen] || !slices.ContainsFunc(pool, func(a lab.Addresses) bool { return a.V4 == seen.Addr() }) {
			t.Fatalf("%+v: twice: %t", flow, used[seen])
		}
		used[seen] = true
		of[seen.Addr()]++
	}
	if len(of) != 2 {
		t.Errorf("the flows have the addresses %v, want both of %v", of, pool)
	}
}

// What is no address of this host is refused, and what is lost later is left out: by the next
// command, which status asks for.
func TestSourceAddressOfAnother(t *testing.T) {
	t.Parallel()
	site, pool, flags := pooledSite(t, 1, 2)
	server := site.Servers[0]
	server.Echo("tcp", ":30080")
	x := site.Host.XFWD()
	foreign := server.Addr.V4.String()
	words := append([]string{"add", "80", "--max-flows", x.MaxFlows, "--source", "masquerade"}, backends(server, 30080)...)
	got := x.Run(append(words, "--source-address", foreign)...)
	if got.Status != 2 || !strings.Contains(got.Stderr, "source address "+foreign+" is no address of this host") || len(x.List()) != 0 {
		t.Errorf("exit status %d: %s", got.Status, got.Stderr)
	}
	x.Do(append(words, flags...)...)
	if got := x.Run(words...); got.Status != 3 {
		t.Errorf("without source addresses: exit status %d: %s", got.Status, got.Stderr)
	}
	lost, left := pool[0], pool[1]
	link, err := site.Host.Links().LinkByName("eth1")
	if err == nil {
		err = site.Host.Links().AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: lost.V4.AsSlice(), Mask: net.CIDRMask(24, 32)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	mustWarn(t, x, "source address "+lost.V4.String()+" is no address of this host any more")
	x.Add("81", "30081")
	site.Host.Join("eth0", 10, 1)
	var clients []netip.Addr
	for i := range 16 {
		clients = append(clients, site.Client.Join("eth0", 10, 10+i).V4)
	}
	seen := func(port uint16) map[netip.Addr]bool {
		t.Helper()
		as := make(map[netip.Addr]bool)
		for _, from := range clients {
			conn, err := site.Client.Connect("tcp", at(site.HostAddr.V4, 80), at(from, port))
			if err != nil {
				t.Fatal(err)
			}
			mustEcho(t, conn)
			as[conn.Client.Addr()] = true
		}
		return as
	}
	if as := seen(5000); len(as) != 1 || !as[left.V4] {
		t.Errorf("clients are seen as %v, want %v", as, left.V4)
	}
	// serve follows the host.
	x.Serve()
	site.Host.Address("eth1", netip.PrefixFrom(lost.V4, 24))
	port := uint16(5000)
	lab.Eventually(t, noticed, func() error {
		port++
		if as := seen(port); len(as) != 2 {
			return fmt.Errorf("clients are seen as %v, want %v", as, pool)
		}
		return nil
	})
}
