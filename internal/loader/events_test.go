// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What the kernel says of the host is told, and nothing that changes no next hop.
func TestEvents(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		router := &netlink.Neigh{
			IP: net.IPv4(192, 0, 2, 77), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
			State: unix.NUD_PERMANENT, Family: unix.AF_INET,
		}
		subnet := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}}
		near := &net.IPNet{IP: net.IPv4(203, 0, 113, 0), Mask: net.CIDRMask(24, 32)}
		remote := &net.IPNet{IP: net.IPv4(198, 51, 100, 0), Mask: net.CIDRMask(24, 32)}
		do := func(f func(link netlink.Link) error) {
			t.Helper()
			inNamespace(t, d, func() error {
				link, err := netlink.LinkByName("a0")
				if err != nil {
					return err
				}
				router.LinkIndex = link.Attrs().Index
				return f(link)
			})
		}
		do(func(link netlink.Link) error {
			return errors.Join(netlink.LinkSetUp(link), netlink.AddrAdd(link, subnet), netlink.NeighAdd(router))
		})
		ctx, stop := context.WithCancelCause(t.Context())
		allOf(nil) // the device has come up, which takes a moment
		begun, events, ended := make(chan struct{}), make(chan Change, 100), make(chan error, 1)
		go func() {
			ended <- s.loader.Events(ctx, func() { close(begun) }, func(c Change) { events <- c })
		}()
		<-begun
		index := func(name string) (ifindex int) {
			inNamespace(t, d, func() error {
				link, err := netlink.LinkByName(name)
				if err == nil {
					ifindex = link.Attrs().Index
				}
				return err
			})
			return ifindex
		}
		a0 := index("a0")
		only := func(ifindex int) map[int]bool { return map[int]bool{ifindex: true} }
		for _, c := range []struct {
			what string
			want Change
			do   func(netlink.Link) error
		}{
			{"a route by a gateway", Change{NextHops: true, gateways: only(a0), tables: only(unix.RT_TABLE_MAIN), routes: map[netip.Prefix]bool{netip.MustParsePrefix("198.51.100.0/24"): true}}, func(link netlink.Link) error {
				return netlink.RouteAdd(&netlink.Route{Dst: remote, Gw: router.IP, LinkIndex: link.Attrs().Index})
			}},
			{"a route without one", Change{NextHops: true, routes: map[netip.Prefix]bool{netip.MustParsePrefix("203.0.113.0/24"): true}}, func(link netlink.Link) error {
				return netlink.RouteAdd(&netlink.Route{Dst: near, LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK})
			}},
			{"a default route", Change{NextHops: true, anyRoute: true, defaults: true, everywhere: true, gateways: only(a0), tables: only(unix.RT_TABLE_MAIN)}, func(link netlink.Link) error {
				return netlink.RouteAdd(&netlink.Route{Gw: router.IP, LinkIndex: link.Attrs().Index})
			}},
			{"a rule", Change{NextHops: true, anyRoute: true, rules: true, defaults: true, anyUplink: true}, func(netlink.Link) error {
				rule := netlink.NewRule()
				rule.Table, rule.Src = 100, remote
				return netlink.RuleAdd(rule)
			}},
			{"a neighbour as it was", Change{}, func(netlink.Link) error { return netlink.NeighSet(router) }},
			{"a neighbour that moves", Change{NextHops: true}, func(netlink.Link) error {
				moved := *router
				moved.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 2}
				return netlink.NeighSet(&moved)
			}},
			{"a neighbour that goes", Change{NextHops: true}, func(netlink.Link) error { return netlink.NeighDel(router) }},
			{"a neighbour that nobody knew", Change{}, func(netlink.Link) error { return netlink.NeighAdd(router) }},
			// The route to it is one of the table local.
			{"an address", Change{NextHops: true, addresses: only(a0), locals: only(a0), routes: map[netip.Prefix]bool{netip.MustParsePrefix("192.0.2.2/32"): true}}, func(link netlink.Link) error {
				return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 2), Mask: net.CIDRMask(32, 32)}})
			}},
			{"addresses by a route", Change{NextHops: true, locals: only(1), routes: map[netip.Prefix]bool{netip.MustParsePrefix("198.51.100.0/24"): true}}, func(netlink.Link) error {
				return netlink.RouteAdd(&netlink.Route{Dst: remote, LinkIndex: 1, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST})
			}},
			{"a device", Change{devices: only(a0)}, func(link netlink.Link) error { return netlink.LinkSetMTU(link, 1400) }},
		} {
			do(c.do)
			if got := allOf(events); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: told %+v, want %+v", c.what, got, c.want)
			}
		}
		why := errors.New("enough")
		stop(why)
		select {
		case err := <-ended:
			if !errors.Is(err, why) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not end")
		}
	})
}

// allOf returns all changes that come within a moment as one.
func allOf(events <-chan Change) (all Change) {
	wait := time.Second
	for {
		select {
		case c := <-events: // addresses come with routes
			all.Merge(c)
			wait = 300 * time.Millisecond
		case <-time.After(wait):
			return all
		}
	}
}
