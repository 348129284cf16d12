// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	gomaps "maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xfwd/xfwd/internal/maps"
)

// Follow returns the host as it is after a change: it asks for the devices, addresses and
// routes that the change is about, and takes all else from before.
func (l *Loader) Follow(before *Host, c Change) (*Host, error) {
	if c.Everything {
		return l.Host()
	}
	f := facts{
		links:     gomaps.Clone(before.facts.links),
		addresses: gomaps.Clone(before.facts.addresses),
		peers:     gomaps.Clone(before.facts.peers),
		filters:   gomaps.Clone(before.facts.filters),
		routes:    before.routes.clone(),
		local:     gomaps.Clone(before.facts.local),
		routing:   before.facts.routing,
		rules:     before.facts.rules,
	}
	err := l.namespace.Do(func() (err error) {
		if err := f.askDevices(c.devices); err != nil {
			return err
		}
		if err := f.askAddresses(union(gomaps.Clone(c.devices), c.addresses)); err != nil {
			return err
		}
		if err := f.askLocalRoutes(c); err != nil {
			return err
		}
		if err := f.askRoutes(c); err != nil {
			return err
		}
		if err := f.askRules(c); err != nil {
			return err
		}
		f.ephemeral, err = readPortRange(ephemeralPorts)
		return err
	})
	if err != nil {
		return nil, err
	}
	after := newHost(l.namespace, f)
	after.reader = &l.rules
	// What matters of a port is its bridge, too.
	about := Change{anyRoute: c.anyRoute, gateways: c.gateways, routes: c.routes}
	about.addresses = union(gomaps.Clone(c.addresses), c.devices)
	for ifindex := range c.devices {
		for _, h := range []*Host{before, after} {
			if d := h.byIndex[ifindex]; d != nil && d.master != nil {
				about.addresses[d.master.ifindex] = true
			}
		}
	}
	for to, route := range before.known {
		if !(c.HasHost() && route.borrows) && !about.touches(to, route) {
			after.known[to] = route
		}
	}
	return after, nil
}

// hasOn says whether a device, by ifindex, has an address.
func (h *Host) hasOn(ifindex int, a netip.Addr) bool {
	return slices.ContainsFunc(h.facts.addresses[ifindex], func(has netlink.Addr) bool {
		return has.IPNet != nil && addrFrom(has.IP) == a
	})
}

// askDevices asks for these devices anew.
func (f *facts) askDevices(ifindexes map[int]bool) error {
	if len(ifindexes) == 0 {
		return nil
	}
	return withAsker(func(a *asker) error {
		links, err := a.linksOf(slices.Collect(gomaps.Keys(ifindexes)))
		if err != nil {
			return fmt.Errorf("ask for devices: %w", err)
		}
		var asked []*device
		for ifindex := range ifindexes {
			delete(f.links, ifindex)
			delete(f.peers, ifindex)
			delete(f.filters, ifindex)
			if l, found := links[ifindex]; found {
				f.links[ifindex] = l
				asked = append(asked, newDevice(l))
			}
		}
		peers, err := a.peersOf(asked)
		gomaps.Copy(f.peers, peers)
		gomaps.Copy(f.filters, sourceFilters(asked))
		return err
	})
}

// askAddresses asks for the addresses of these devices anew.
func (f *facts) askAddresses(ifindexes map[int]bool) error {
	for ifindex := range ifindexes {
		delete(f.addresses, ifindex)
		if f.links[ifindex] == nil {
			continue
		}
		addresses, err := listAddresses(ifindex)
		if err != nil {
			return err
		}
		if len(addresses) > 0 {
			f.addresses[ifindex] = addresses
		}
	}
	return nil
}

// askRoutes asks for those of what must be known of the routes that may have changed. IPv4
// loses routes with their device or address without a word; IPv6 tells of each.
func (f *facts) askRoutes(c Change) error {
	if c.anyUplink {
		clear(f.routes.reaches)
	}
	for _, changed := range []map[int]bool{c.gateways, c.devices, c.addresses} {
		for ifindex := range changed {
			delete(f.routes.reaches, ifindex)
		}
	}
	if err := f.routes.readDefaults(unix.AF_INET); err != nil {
		return err
	}
	if c.defaults || slices.ContainsFunc(f.routes.default6, func(ifindex int) bool { return c.isAbout(ifindex) }) {
		if err := f.routes.readDefaults(unix.AF_INET6); err != nil {
			return err
		}
	}
	if c.rules {
		var err error
		if f.routing, err = listRoutingRules(); err != nil {
			return err
		}
	}
	for _, family := range families {
		if err := f.askDefaults(family); err != nil {
			return err
		}
	}
	return nil
}

// askRules asks for the routing rules by marks anew, and for where they lead.
func (f *facts) askRules(c Change) (err error) {
	if c.rules {
		f.rules, err = listRules()
		return err
	}
	// Devices and addresses take routes of IPv4 with them without a word.
	if f.rules.any() && (c.HasHost() || f.rules.touchedBy(c)) {
		f.rules, err = f.rules.again()
	}
	return err
}

// AddressesUnlike returns the addresses that the host has one by one and another has not.
func (h *Host) AddressesUnlike(o *Host) []netip.Addr {
	var unlike []netip.Addr
	for a := range h.addresses.local {
		if _, has := o.addresses.local[a]; !has {
			unlike = append(unlike, a)
		}
	}
	return unlike
}

// PrefixesUnlike returns the prefixes that the host has as a whole and another has not.
func (h *Host) PrefixesUnlike(o *Host) []netip.Prefix {
	var unlike []netip.Prefix
	for _, p := range h.addresses.prefixes {
		if !slices.Contains(o.addresses.prefixes, p) {
			unlike = append(unlike, p)
		}
	}
	return unlike
}

// Touches says whether the route to an address, which has been asked for, may be another
// one after a change.
func (h *Host) Touches(c Change, to netip.Addr) bool {
	route, known := h.known[to]
	return !known || c.touches(to, route)
}

// TouchesMarks says whether other marks may lead to devices after a change.
func (h *Host) TouchesMarks(c Change) bool {
	return h.facts.rules.touchedBy(c)
}

// Knows says whether the route to an address has been asked for.
func (h *Host) Knows(to netip.Addr) bool {
	_, known := h.known[to]
	return known
}

// ErrWhole says that a change cannot be followed device by device.
var ErrWhole = errors.New("the whole host has to be looked at")

// IsPinned says whether the namespace has a dataplane, without opening it.
func (s *Session) IsPinned() bool {
	if s.root == "" {
		return false
	}
	_, err := os.Stat(s.directory())
	return err == nil
}

// partMaps are the maps that a change of the host is written to.
var partMaps = []string{"settings", "devices", "known_addresses", "local_prefixes", "marks", "xdp_devices"}

// OpenPart opens no more of a dataplane than EndNextHops takes, and with devices, than
// FollowTo does: the other maps are missing.
func (s *Session) OpenPart(devices bool) (*Dataplane, error) {
	if s.root == "" {
		return nil, ErrNotLoaded
	}
	if !devices {
		return openDataplane(s.loader.namespace, s.directory(), partMaps[:1]...)
	}
	return openDataplane(s.loader.namespace, s.directory(), partMaps...)
}

// FollowTo brings the dataplane from one host to another, between which lies a change: it
// attaches to the devices of the change, forgets those that are gone, and tells the
// programs what differs. It returns the hooks of the devices that it has attached to, by
// ifindex. It does nothing, and returns ErrWhole, where XDP is concerned.
func (d *Dataplane) FollowTo(before, after *Host, c Change) (map[int][]Hook, error) {
	hooks := make(map[int][]Hook)
	err := d.namespace.Do(func() error {
		policy, err := d.xdpPolicy(after.devices)
		if err != nil {
			return err
		}
		changed := d.differing(before, after, c)
		for ifindex := range changed {
			if d.hasXDP(policy, ifindex, before, after) {
				return ErrWhole
			}
		}
		for ifindex := range changed {
			device := after.byIndex[ifindex]
			if device == nil {
				if err := d.forgetDevice(ifindex); err != nil {
					return err
				}
				continue
			}
			if hooks[ifindex], err = d.followDevice(policy, device); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return hooks, d.tellDifference(before, after)
}

// differing returns the devices of a change, by ifindex, and those that another device of
// it, such as their bridge, has given other programs.
func (d *Dataplane) differing(before, after *Host, c Change) map[int]bool {
	differing := gomaps.Clone(c.devices)
	if differing == nil {
		differing = make(map[int]bool)
	}
	for ifindex, device := range after.byIndex {
		was := before.byIndex[ifindex]
		if was == nil || was.hookPlace() != device.hookPlace() {
			differing[ifindex] = true
		}
	}
	for ifindex := range before.byIndex {
		if after.byIndex[ifindex] == nil {
			differing[ifindex] = true
		}
	}
	return differing
}

// hookPlace is all of a device that decides which programs it has.
type hookPlace struct {
	name, skip          string
	layer               linkLayer
	bridgePort, ofPorts bool
}

func (d *device) hookPlace() hookPlace {
	return hookPlace{d.name, d.skip, d.layer, d.bridgePort(), d.servesAtPorts()}
}

// hasXDP says whether a device has or shall have a program of ours in its driver, or is the
// other end of one that has.
func (d *Dataplane) hasXDP(policy xdpPolicy, ifindex int, before, after *Host) bool {
	if !policy.used {
		return false
	}
	for _, h := range []*Host{before, after} {
		device := h.byIndex[ifindex]
		if device == nil {
			continue
		}
		if policy.decide(device).mode == ModeNative {
			return true
		}
		if other := h.byIndex[device.other]; device.otherNamespace < 0 && other != nil && policy.decide(other).mode == ModeNative {
			return true
		}
	}
	_, found, err := d.pinnedInfo(xdpLink(ifindex).name())
	return found || err != nil
}

// followDevice attaches to a device, and detaches where it has become a port.
func (d *Dataplane) followDevice(policy xdpPolicy, device *device) ([]Hook, error) {
	for _, direction := range []direction{ingress, egress} {
		if device.skip == "" {
			continue
		}
		if err := removePin(d.linkPath(linkName(device, direction))); err != nil {
			return nil, err
		}
		if _, err := removeFilter(device, direction); err != nil {
			return nil, err
		}
	}
	// It may be missing later, and then is the inspection's to find: the others go on.
	hooks, _ := d.attachBoth(device)
	if err := d.notes().remove(xdpNote(device)); err != nil {
		return nil, err
	}
	return append(hooks, xdpHook(device, policy.decide(device), "")), nil
}

// forgetDevice removes what is pinned for a device that is gone.
func (d *Dataplane) forgetDevice(ifindex int) error {
	gone := &device{ifindex: ifindex}
	for _, name := range []string{linkName(gone, ingress), linkName(gone, egress)} {
		if err := removePin(d.linkPath(name)); err != nil {
			return err
		}
	}
	for _, note := range []string{qdiscNote(ifindex), xdpNote(gone)} {
		if err := d.notes().remove(note); err != nil {
			return err
		}
	}
	return nil
}

// removePin removes a pin, which may be missing.
func removePin(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return explain("remove "+filepath.Base(path), err)
}

// tellDifference tells the programs what of the devices and the addresses of one host is
// different on another, and ends every next hop.
func (d *Dataplane) tellDifference(before, after *Host) error {
	known, err := d.Maps.Marks()
	if err != nil {
		return err
	}
	have, err := d.deviceFacts(before, known)
	if err != nil {
		return err
	}
	kept, err := d.Maps.KeepMarks(after.marks.all())
	if err != nil {
		return err
	}
	want, err := d.deviceFacts(after, kept)
	if err != nil {
		return err
	}
	put := make(map[uint32]maps.Device)
	var gone []uint32
	for ifindex, facts := range want {
		if old, found := have[ifindex]; !found || old != facts {
			put[ifindex] = facts
		}
	}
	for ifindex := range have {
		if _, stays := want[ifindex]; !stays {
			gone = append(gone, ifindex)
		}
	}
	if err := d.Maps.ChangeDevices(put, gone); err != nil {
		return err
	}
	if err := d.Maps.ChangeLocalAddresses(before.LocalAddresses(), after.LocalAddresses()); err != nil {
		return err
	}
	d.Settings.Primary4, d.Settings.Primary6 = after.addresses.host4, after.addresses.host6
	d.Settings.Ephemeral = after.ephemeral
	return d.EndNextHops()
}

// Loaded says whether the namespace has a dataplane, without a look at it.
func (l *Loader) Loaded(ctx context.Context) (bool, error) {
	session, err := l.Read(ctx)
	if err != nil {
		return false, err
	}
	defer session.Close()
	return session.IsPinned(), nil
}

// HasDevice says whether a device is there, by ifindex.
func (h *Host) HasDevice(ifindex int) bool { return h.byIndex[ifindex] != nil }

// KnowsHost says whether the programs know the devices, addresses and marks of a host as
// they are.
func (d *Dataplane) KnowsHost(h *Host) (bool, error) {
	known, err := d.Maps.Marks()
	if err != nil || !known.HaveAll(h.marks.all()) {
		return false, err
	}
	want, err := d.deviceFacts(h, known)
	if err != nil {
		return false, err
	}
	if same, err := d.Maps.HasDevices(want); err != nil || !same {
		return false, err
	}
	if d.Settings.Primary4 != h.addresses.host4 || d.Settings.Primary6 != h.addresses.host6 || d.Settings.Ephemeral != h.ephemeral {
		return false, nil
	}
	return d.Maps.HasLocalAddresses(h.LocalAddresses())
}
