// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"net"
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
		mostOf(nil) // the device has come up, which takes a moment
		begun, events, ended := make(chan struct{}), make(chan Event, 100), make(chan error, 1)
		go func() {
			ended <- s.loader.Events(ctx, func() { close(begun) }, func(e Event) { events <- e })
		}()
		<-begun
		for _, c := range []struct {
			what string
			want Event
			do   func(netlink.Link) error
		}{
			{"a route", NextHopsChanged, func(link netlink.Link) error {
				return netlink.RouteAdd(&netlink.Route{Dst: remote, Gw: router.IP, LinkIndex: link.Attrs().Index})
			}},
			{"a neighbour as it was", nothing, func(netlink.Link) error { return netlink.NeighSet(router) }},
			{"a neighbour that moves", NextHopsChanged, func(netlink.Link) error {
				moved := *router
				moved.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 2}
				return netlink.NeighSet(&moved)
			}},
			{"a neighbour that goes", NextHopsChanged, func(netlink.Link) error { return netlink.NeighDel(router) }},
			{"a neighbour that nobody knew", nothing, func(netlink.Link) error { return netlink.NeighAdd(router) }},
			{"an address", HostChanged, func(link netlink.Link) error {
				return netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 2), Mask: net.CIDRMask(32, 32)}})
			}},
			{"a device", HostChanged, func(netlink.Link) error {
				return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "c0"}, PeerName: "c1"})
			}},
		} {
			do(c.do)
			if got := mostOf(events); got != c.want {
				t.Errorf("%s: told %d, want %d", c.what, got, c.want)
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

const nothing Event = -1

// mostOf returns the greatest of the events that come within a moment.
func mostOf(events <-chan Event) Event {
	most, wait := nothing, time.Second
	for {
		select {
		case e := <-events: // addresses come with routes
			most, wait = max(most, e), 300*time.Millisecond
		case <-time.After(wait):
			return most
		}
	}
}
