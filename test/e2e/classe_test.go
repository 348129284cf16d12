// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// A client from 240.0.0.0/4 is served as any other one: by this host, by a container,
// and by a machine that sees an address of this host. What nothing answers at is refused.
func TestClientOfClassE(t *testing.T) {
	t.Parallel()
	from := netip.MustParseAddr("240.1.2.3")
	for _, test := range []struct {
		name   string
		site   func(*lab.Lab) *lab.Site
		server bool // the backend is a server and not this host
		source string
	}{
		{"this host", func(l *lab.Lab) *lab.Site { return l.Containers(1) }, false, "auto"},
		{"container", func(l *lab.Lab) *lab.Site { return l.Containers(1) }, true, "auto"},
		{"masqueraded", func(l *lab.Lab) *lab.Site { return l.TwoArmed(1) }, true, "masquerade"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			site := test.site(lab.New(t))
			site.Client.Address("eth0", netip.PrefixFrom(from, 32))
			site.Host.Route(netip.PrefixFrom(from, 32), site.ClientAddr.V4)
			server, words := site.Host, []string{"30080"}
			if test.server {
				server, words = site.Servers[0].Namespace, backends(site.Servers[0], 30080)
			}
			x := site.Host.XFWD()
			x.Add(append([]string{"80/tcp+udp", "--source", test.source}, words...)...)
			x.Add(append([]string{"81/tcp", "--source", test.source}, words[0]+",state=draining")...)
			for _, network := range networks {
				server.Echo(network, ":30080")
				conn, err := site.Client.Connect(network, at(site.HostAddr.V4, 80), at(from, 40000))
				if err != nil {
					t.Fatalf("%s: %v", network, err)
				}
				mustEcho(t, conn)
				if test.source != "masquerade" {
					mustSee(t, conn)
				}
			}
			if _, err := site.Client.Connect("tcp", at(site.HostAddr.V4, 81), at(from, 40000)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("without a backend: %v, want a refusal", err)
			}
		})
	}
}
