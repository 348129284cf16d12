// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A bridge that filters VLANs serves its containers, though its ports are left
// alone.
func TestBridgeThatFiltersVLANs(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ip")
	site := lab.New(t).Containers(2)
	if said, err := site.Host.Try("ip", "link", "set", "br0", "type", "bridge", "vlan_filtering", "1"); err != nil {
		if strings.Contains(err.Error(), "not supported") {
			t.Skip("bridges of this kernel cannot filter VLANs")
		}
		t.Fatal(said, err)
	}
	x := site.Host.XFWD()
	server := site.Servers[0]
	x.Add(append([]string{"80/tcp+udp"}, backends(server, 30080)...)...)
	for _, network := range networks {
		server.Echo(network, ":30080")
		for family, host := range site.HostAddr.All() {
			within(t, site.Network, network+" "+family, func(t *testing.T) {
				conn := site.Client.MustConnect(network, at(host, 80))
				mustEcho(t, conn)
				mustSee(t, conn)
				mustEcho(t, site.Servers[1].MustConnect(network, at(host, 80)))
			})
		}
	}
}

// Containers may come after the forward to them, and give the bridge another
// link-layer address.
func TestContainerThatComesLater(t *testing.T) {
	t.Parallel()
	site := lab.New(t).Containers(1)
	first := site.Servers[0]
	later := lab.Server{Addr: lab.Addresses{V4: first.Addr.V4.Next(), V6: first.Addr.V6.Next()}}
	x := site.Host.XFWD()
	x.Add(append([]string{"80/tcp+udp"}, backends(first, 30080)...)...)
	x.Add(append([]string{"81/tcp+udp"}, backends(later, 30080)...)...)
	for _, network := range networks {
		first.Echo(network, ":30080")
	}
	load := keepTalking(site.Network, 80)

	later.Namespace = site.Lab.Namespace("later")
	site.Lab.Veth(site.Host, "port1", later.Namespace, "eth0", 1500)
	// The least of its ports' addresses is the bridge's.
	site.Host.SetMAC("port1", []byte{2, 0, 0, 0, 0, 1})
	before := site.Host.MAC("br0").String()
	site.Host.Port("br0", "port1")
	if site.Host.MAC("br0").String() == before {
		t.Fatalf("the bridge keeps %s: the test does not test what it says", before)
	}
	for _, container := range []*lab.Namespace{first.Namespace, later.Namespace} {
		forgetNeighbours(t, container)
	}
	for family, addr := range later.Addr.All() {
		bits := map[string]int{"IPv4": 24, "IPv6": 64}[family]
		later.Address("eth0", netip.PrefixFrom(addr, bits))
	}
	later.DefaultRoutes(site.HostSide)
	load.mustGoOn(t, soon)
	for _, network := range networks {
		later.Echo(network, ":30080")
		for _, host := range site.HostAddr.All() {
			conn := site.Client.MustConnect(network, at(host, 81))
			if err := conn.Echo(fmt.Appendf(nil, "%v", host)); err != nil {
				t.Errorf("%s: %v", network, err)
			}
			mustSee(t, conn)
		}
	}
}
