// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// whatever is an error of a random change that cannot be made now.
func whatever(error) {}

// otherTable is a routing table beside those that every host has.
const otherTable = 77

// randomChange changes something of the current namespace.
func randomChange(r *rand.Rand) string {
	name := func() string { return fmt.Sprintf("r%d", r.IntN(6)) }
	link := func() netlink.Link {
		l, err := netlink.LinkByName(name())
		if err != nil {
			l, _ = netlink.LinkByName("a0")
		}
		return l
	}
	address := func() *netlink.Addr {
		if r.IntN(2) == 0 {
			return &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 9, byte(r.IntN(3)), byte(1+r.IntN(3))), Mask: net.CIDRMask(24, 32)}}
		}
		ip := net.ParseIP(fmt.Sprintf("2001:db8:9::%d", 1+r.IntN(4)))
		return &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
	}
	l := link()
	switch r.IntN(20) {
	case 16:
		// Addresses by a route.
		_, to, _ := net.ParseCIDR([]string{"10.8.0.0/24", "10.8.1.7/32", "2001:db8:8::/64", "2001:db8:8:1::7/128"}[r.IntN(4)])
		route := &netlink.Route{Dst: to, LinkIndex: l.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
		if r.IntN(2) == 0 {
			route.LinkIndex = 1
		}
		if r.IntN(2) == 0 {
			whatever(netlink.RouteAdd(route))
			return fmt.Sprint("add local route ", route)
		}
		whatever(netlink.RouteDel(route))
		return fmt.Sprint("delete local route ", route)
	case 17:
		// Addresses of services.
		if services, err := netlink.LinkByName("rdummy"); err == nil {
			whatever(netlink.LinkDel(services))
			return "delete rdummy"
		}
		whatever(netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "rdummy"}}))
		if services, err := netlink.LinkByName("rdummy"); err == nil {
			whatever(netlink.LinkSetUp(services))
			whatever(netlink.AddrAdd(services, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 9, 0, byte(1+r.IntN(4))), Mask: net.CIDRMask(32, 32)}}))
		}
		return "add rdummy"
	case 18:
		// A table that every packet is looked up in.
		rule := netlink.NewRule()
		rule.Table, rule.Priority, rule.Family = otherTable, 100, []int{unix.AF_INET, unix.AF_INET6}[r.IntN(2)]
		if r.IntN(2) == 0 {
			whatever(netlink.RuleAdd(rule))
			return fmt.Sprint("add a rule of family ", rule.Family)
		}
		whatever(netlink.RuleDel(rule))
		return fmt.Sprint("delete a rule of family ", rule.Family)
	case 19:
		everything := &net.IPNet{IP: make(net.IP, net.IPv4len), Mask: net.CIDRMask(0, 32)}
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Table: otherTable, Dst: everything}
		if r.IntN(2) == 0 {
			everything.IP, everything.Mask, route.Scope = make(net.IP, net.IPv6len), net.CIDRMask(0, 128), netlink.SCOPE_UNIVERSE
		}
		if r.IntN(3) == 0 {
			route.Type, route.LinkIndex = unix.RTN_THROW, 0
		}
		if r.IntN(2) == 0 {
			whatever(netlink.RouteAdd(route))
			return fmt.Sprint("add ", route, " to another table")
		}
		whatever(netlink.RouteDel(route))
		return fmt.Sprint("delete ", route, " of another table")
	case 0, 1:
		n := name()
		whatever(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: n}, PeerName: "p" + n}))
		return "add " + n
	case 2:
		if l.Attrs().Name == "a0" {
			return "nothing"
		}
		whatever(netlink.LinkDel(l))
		return "delete " + l.Attrs().Name
	case 3:
		whatever(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "rbr"}}))
		return "add rbr"
	case 4:
		if bridge, err := netlink.LinkByName("rbr"); err == nil {
			whatever(netlink.LinkSetMaster(l, bridge))
			return "join " + l.Attrs().Name
		}
		return "nothing"
	case 5:
		whatever(netlink.LinkSetNoMaster(l))
		return "leave " + l.Attrs().Name
	case 13, 14:
		// A table of its own and a rule that leads there, or neither.
		table := 100 + r.IntN(2)*1000
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Mark, rule.Priority = unix.AF_INET, table, uint32(1+r.IntN(2)), 100
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Table: table, Dst: &net.IPNet{IP: make(net.IP, net.IPv4len), Mask: net.CIDRMask(0, 32)}}
		if r.IntN(2) == 0 {
			rule.Family = unix.AF_INET6
			route.Dst, route.Scope = &net.IPNet{IP: make(net.IP, net.IPv6len), Mask: net.CIDRMask(0, 128)}, netlink.SCOPE_UNIVERSE
		}
		switch r.IntN(6) {
		case 0:
			whatever(netlink.RuleDel(rule))
			return fmt.Sprint("delete rule ", rule)
		case 1, 2:
			whatever(netlink.RuleAdd(rule))
			return fmt.Sprint("add rule ", rule)
		case 3:
			whatever(netlink.RouteDel(route))
			return fmt.Sprint("delete route ", route)
		}
		whatever(netlink.RouteAdd(route))
		return fmt.Sprint("add route ", route)
	case 15:
		if list, _ := netlink.AddrList(l, netlink.FAMILY_V6); len(list) > 0 {
			a := list[r.IntN(len(list))]
			// Deprecated, or not any more.
			a.ValidLft, a.PreferedLft = 3600, r.IntN(2)*1800
			whatever(netlink.AddrReplace(l, &a))
			return fmt.Sprint("lifetime of ", a)
		}
		return "nothing"
	case 12:
		if bridge, err := netlink.LinkByName("rbr"); err == nil {
			whatever(netlink.BridgeSetVlanFiltering(bridge, r.IntN(2) == 0))
		}
		return "filter VLANs, or not"
	case 6:
		if bridge, err := netlink.LinkByName("rbr"); err == nil && r.IntN(2) == 0 {
			whatever(netlink.LinkDel(bridge))
			return "delete rbr"
		}
		whatever(netlink.LinkSetMTU(l, 1300+r.IntN(200)))
		return "mtu of " + l.Attrs().Name
	case 7:
		if r.IntN(2) == 0 {
			whatever(netlink.LinkSetDown(l))
			return "down " + l.Attrs().Name
		}
		whatever(netlink.LinkSetUp(l))
		return "up " + l.Attrs().Name
	case 8, 9:
		a := address()
		whatever(netlink.AddrAdd(l, a))
		return fmt.Sprint("add ", a, " to ", l.Attrs().Name)
	case 10:
		list, _ := netlink.AddrList(l, netlink.FAMILY_ALL)
		if len(list) > 0 {
			whatever(netlink.AddrDel(l, &list[r.IntN(len(list))]))
		}
		return "delete an address of " + l.Attrs().Name
	default:
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Priority: r.IntN(3)}
		switch r.IntN(3) {
		case 0:
			route.Dst = &net.IPNet{IP: net.IPv4(198, 51, 100, 0), Mask: net.CIDRMask(24, 32)}
		case 1:
			route.Dst = &net.IPNet{IP: make(net.IP, net.IPv4len), Mask: net.CIDRMask(0, 32)}
		default:
			route.Dst, route.Scope = &net.IPNet{IP: make(net.IP, net.IPv6len), Mask: net.CIDRMask(0, 128)}, netlink.SCOPE_UNIVERSE
		}
		if r.IntN(2) == 0 {
			whatever(netlink.RouteAdd(route))
			return fmt.Sprint("add route ", route)
		}
		whatever(netlink.RouteDel(route))
		return fmt.Sprint("delete route ", route)
	}
}

// A dataplane that has followed one change after another is as one that has been told of
// the whole host: its pins, and what the programs know.
func TestFollowingIsLookingAnew(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		inNamespace(t, d, func() error {
			lo, err := netlink.LinkByName("lo")
			return errors.Join(err, netlink.LinkSetUp(lo))
		})
		ctx, stop := context.WithCancelCause(t.Context())
		begun, changes, ended := make(chan struct{}), make(chan Change, 10_000), make(chan error, 1)
		go func() {
			ended <- s.loader.Events(ctx, func() { close(begun) }, func(c Change) { changes <- c })
		}()
		defer func() {
			stop(nil)
			<-ended
		}()
		<-begun
		host, err := s.loader.Host()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.AttachTo(host); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Tell(host), d.Maps.PutKnownAddresses(maps.NewKnownAddresses(host.LocalAddresses(), nil, nil), maps.KnownAddresses{})); err != nil {
			t.Fatal(err)
		}
		targets := []netip.Addr{netip.MustParseAddr("10.9.1.77"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8:9::77")}
		if err := host.Learn(targets); err != nil {
			t.Fatal(err)
		}
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		var log []string
		marked := 0
		for range 60 {
			inNamespace(t, d, func() error {
				for range 1 + r.IntN(3) {
					log = append(log, randomChange(r))
				}
				return nil
			})
			// Some things, such as carrier, come a moment later.
			var same error
			for deadline := time.Now().Add(10 * time.Second); ; {
				all := drain(changes)
				if all.HasHost() || all.NextHops {
					after, err := s.loader.Follow(host, all)
					if err != nil {
						t.Fatal(err)
					}
					if err := after.Learn(targets); err != nil {
						t.Fatal(err)
					}
					if _, err := d.FollowTo(host, after, all); err != nil {
						t.Fatal(err)
					}
					host = after
				}
				fresh, err := s.loader.Host()
				if err == nil {
					err = fresh.Learn(targets)
				}
				if err != nil {
					t.Fatal(err)
				}
				if same = sameDataplane(d, host, fresh, targets); same == nil || time.Now().After(deadline) {
					break
				}
			}
			if same != nil {
				t.Fatalf("seed %d: after %s: %v", seed, strings.Join(log[max(0, len(log)-8):], "; "), same)
			}
			marked += len(host.marks.byDevice)
		}
		t.Logf("%d times, marks led to devices", marked)
	})
}

// drain returns all changes that have come, and those that come within a moment.
func drain(changes <-chan Change) (all Change) {
	for {
		select {
		case c := <-changes:
			all.Merge(c)
		case <-time.After(30 * time.Millisecond):
			return all
		}
	}
}

// sameDataplane says what a dataplane that has followed has otherwise than it should.
func sameDataplane(d *Dataplane, followed, fresh *Host, targets []netip.Addr) error {
	knows, err := d.KnowsHost(fresh)
	if err != nil {
		return err
	}
	if !knows {
		return errors.New("the programs do not know the devices and addresses of the host")
	}
	for _, to := range targets {
		if a, b := followed.known[to], fresh.known[to]; a != b {
			return fmt.Errorf("the route to %s is taken to be %+v, and is %+v", to, a, b)
		}
	}
	want := make(map[string]bool)
	for _, device := range fresh.devices {
		for _, direction := range []direction{ingress, egress} {
			if device.skip == "" {
				want[linkName(device, direction)] = true
			}
		}
	}
	pins, err := os.ReadDir(filepath.Join(d.directory, linkPins))
	if err != nil {
		return err
	}
	have := make(map[string]bool)
	for _, pin := range pins {
		if isTCLink(pin.Name()) {
			have[pin.Name()] = true
		}
	}
	if !tcxWorks(have) {
		return nil
	}
	if !reflect.DeepEqual(have, want) {
		return fmt.Errorf("links are pinned for %v, want %v", have, want)
	}
	for _, device := range fresh.devices {
		for _, direction := range []direction{ingress, egress} {
			name := linkName(device, direction)
			if !want[name] {
				continue
			}
			info, _, err := d.pinnedInfo(name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			program, err := d.program(tcProgram(device, direction))
			if err != nil {
				return err
			}
			if int(info.target) != device.ifindex || !d.runs(info, program) {
				return fmt.Errorf("%s of %s has another program than it should", direction, device.name)
			}
		}
	}
	return nil
}

// tcxWorks says whether the kernel has tcx, as something is pinned.
func tcxWorks(pinned map[string]bool) bool { return len(pinned) > 0 }

// A host with many routes is asked for few of them: when a command looks at it, and when
// an address changes.
func TestFewRoutesAreRead(t *testing.T) {
	loaded(t, func(s *Session, d *Dataplane) {
		const many = 3000
		var a0 int
		inNamespace(t, d, func() error {
			l, err := netlink.LinkByName("a0")
			if err != nil {
				return err
			}
			a0 = l.Attrs().Index
			subnet := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}}
			subnet6 := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
			a1, _ := netlink.LinkByName("a1")
			if err := errors.Join(netlink.LinkSetUp(l), netlink.LinkSetUp(a1), netlink.AddrAdd(l, subnet), netlink.AddrAdd(l, subnet6)); err != nil {
				return err
			}
			for i := range many {
				_, to, _ := net.ParseCIDR(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255))
				_, to6, _ := net.ParseCIDR(fmt.Sprintf("2001:db8:%x::/48", 0x1000+i))
				for _, route := range []*netlink.Route{{Dst: to, Gw: net.IPv4(192, 0, 2, 2)}, {Dst: to6, Gw: net.ParseIP("2001:db8::2")}} {
					route.LinkIndex = a0
					if err := netlink.RouteAdd(route); err != nil {
						return err
					}
				}
			}
			return errors.Join(
				netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(192, 0, 2, 2), LinkIndex: a0}),
				netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: make(net.IP, net.IPv6len), Mask: net.CIDRMask(0, 128)}, Gw: net.ParseIP("2001:db8::2"), LinkIndex: a0}))
		})
		read := func(what string, most uint64, f func()) {
			t.Helper()
			before := counted.routes.Load()
			if f(); counted.routes.Load()-before > most {
				t.Errorf("%s reads %d of %d routes, want at most %d", what, counted.routes.Load()-before, 2*many, most)
			}
		}
		var host *Host
		// The kernel writes a few hundred at once, before it can be told to stop.
		const once = 1000
		read("a look at the host", once, func() {
			var err error
			if host, err = s.loader.Host(); err != nil {
				t.Fatal(err)
			}
		})
		if !slices.Equal(host.routes.default4, []int{a0}) || !slices.Equal(host.routes.default6, []int{a0}) {
			t.Errorf("the default routes are by %v and %v, want %d", host.routes.default4, host.routes.default6, a0)
		}
		if host.Address(false) != netip.MustParseAddr("192.0.2.1") || host.Address(true) != netip.MustParseAddr("2001:db8::1") {
			t.Errorf("the host's addresses are %s and %s", host.Address(false), host.Address(true))
		}
		read("whether a device is an uplink", once, func() {
			inNamespace(t, d, func() error {
				if !host.routes.leadsTo(a0, toEverybody) {
					t.Error("a0 is no uplink")
				}
				return nil
			})
		})
		read("an address", once, func() {
			if _, err := s.loader.Follow(host, addressChange(a0)); err != nil {
				t.Fatal(err)
			}
		})
	})
}
