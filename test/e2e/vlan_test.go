// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// Clients that come by a VLAN reach backends behind another.
func TestVLANs(t *testing.T) {
	for _, offloads := range []bool{true, false} {
		t.Run(fmt.Sprintf("offloads %v", offloads), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			client, host, server := l.Namespace("client"), l.Namespace("host"), l.Namespace("server")
			l.Veth(client, "eth0", host, "eth0", 1500)
			l.Veth(host, "eth1", server, "eth0", 1500)
			host.Forwarding()
			site := &lab.Site{Network: &lab.Network{Lab: l, Client: client, Host: host}}
			_, site.ClientAddr = client.VLAN(t, "eth0", 10, 2)
			_, site.HostAddr = host.VLAN(t, "eth0", 10, 1)
			_, site.HostSide = host.VLAN(t, "eth1", 20, 1)
			_, addr := server.VLAN(t, "eth0", 20, 2)
			site.Servers = []lab.Server{{Namespace: server, Addr: addr}}
			site.Offloads(offloads)

			x := host.XFWD()
			x.Add(append([]string{"80/tcp+udp", "--source", "masquerade"}, backends(site.Servers[0], 30080)...)...)
			x.Add(append([]string{"81", "--source", "masquerade"}, backends(site.Servers[0], 30081)...)...)
			server.Bulk(":30081")
			for _, network := range networks {
				echo(server, addr, network, 30080)
			}
			for family, frontend := range site.HostAddr.All() {
				within(t, site.Network, family, func(t *testing.T) {
					for _, network := range networks {
						conn := client.MustConnect(network, at(frontend, 80))
						mustEcho(t, conn)
						mustBeMasqueraded(t, site, conn)
					}
					conn := client.MustConnect("udp", at(frontend, 80))
					if err := conn.Echo(make([]byte, 5000)); err != nil {
						t.Errorf("in fragments: %v", err)
					}
					if err := client.Upload(at(frontend, 81), 10_000_000); err != nil {
						t.Errorf("to the server: %v", err)
					}
					if err := client.Download(at(frontend, 81), 10_000_000); err != nil {
						t.Errorf("from the server: %v", err)
					}
				})
			}
		})
	}
}
