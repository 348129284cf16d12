// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net/netip"
	"testing"
)

// In every topology the host reaches every server, and in those where it is
// their router, so does the client.
func TestSites(t *testing.T) {
	for name, topology := range map[string]struct {
		site    func(*Lab) *Site
		through bool
	}{
		"two-armed":  {func(l *Lab) *Site { return l.TwoArmed(2) }, false},
		"one-armed":  {func(l *Lab) *Site { return l.OneArmed(2) }, false},
		"containers": {func(l *Lab) *Site { return l.Containers(2) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := topology.site(New(t))
			servers := s.Servers
			if topology.through {
				servers = append(servers, s.Alone)
				s.Client.DefaultRoutes(s.HostAddr)
			}
			for _, server := range servers {
				server.Echo("tcp", ":80")
				for _, addr := range server.Addr.All() {
					s.Host.MustConnect("tcp", netip.AddrPortFrom(addr, 80))
					if topology.through {
						s.Client.MustConnect("tcp", netip.AddrPortFrom(addr, 80))
					}
				}
			}
		})
	}
}

// Behind the routers of a two-armed site there is a server.
func TestSiteWithRouters(t *testing.T) {
	s := New(t).TwoArmed(0)
	_, far := s.Routers(1400)
	far.Echo("tcp", ":80")
	for _, addr := range far.Addr.All() {
		s.Host.MustConnect("tcp", netip.AddrPortFrom(addr, 80))
	}
}
