// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// elsewhere says whether a backend with this address is not this host.
func elsewhere(host *loader.Host, address netip.Addr) bool {
	return address.IsValid() && !host.HasAddress(address)
}

// sourceOf returns which source address a backend sees, and the host's address
// for it, where somebody must be masqueraded.
func sourceOf(host *loader.Host, asked maps.Source, address netip.Addr) (maps.BackendSource, netip.Addr) {
	if !elsewhere(host, address) {
		return maps.BackendKeepsSource, netip.Addr{}
	}
	route, found := host.Route(address)
	switch {
	case asked == maps.SourcePreserve:
		return maps.BackendKeepsSource, route.Source
	case asked == maps.SourceAuto && found && route.Behind:
		return maps.BackendKeepsSourceAcross, route.Source
	}
	return maps.BackendMasquerades, route.Source
}

// target is a backend that is new to its forward.
type target struct {
	forward Forward
	backend Backend
}

// newTargets returns the backends of new forwards, and the new ones of others.
func newTargets(have []Forward, report Report) []target {
	type place struct {
		frontend frontendKey
		backend  backendKey
	}
	had := make(map[place]bool)
	for _, f := range have {
		for _, b := range f.Backends {
			had[place{f.Frontend.key(), b.key()}] = true
		}
	}
	var targets []target
	for _, f := range report.Added {
		for _, b := range f.Backends {
			targets = append(targets, target{f, b})
		}
	}
	for _, f := range report.Changed {
		for _, b := range f.Backends {
			if !had[place{f.Frontend.key(), b.key()}] {
				targets = append(targets, target{f, b})
			}
		}
	}
	return targets
}

// sourceNotes says, for each address elsewhere, which source it sees and why.
func sourceNotes(host *loader.Host, targets []target) []string {
	var notes messages
	for _, t := range targets {
		if !elsewhere(host, t.backend.Address) {
			continue
		}
		route, found := host.Route(t.backend.Address)
		if !found {
			continue
		}
		asked := ""
		if t.forward.Source != SourceAuto {
			asked = ", as you asked"
		}
		pool := ownAddresses(host, t.forward.SourceAddresses, t.backend.Address.Is4())
		switch source, address := sourceOf(host, sourceNumbers[t.forward.Source], t.backend.Address); {
		case source != maps.BackendMasquerades:
			notes.add("source kept%s: %s", asked, route.Why)
		case len(pool) > 0:
			notes.add("source masqueraded as %s%s: %s", oneOf(pool), asked, route.Why)
		case address.IsValid():
			notes.add("source masqueraded as %s%s: %s", address, asked, route.Why)
		default:
			notes.add("source masqueraded as the address of %s%s: %s", route.Device, asked, route.Why)
		}
	}
	return notes.most("backends")
}

// sourceChanges says of which backends that stay the source is another one now, or
// is kept no more, because something has changed on the host.
func sourceChanges(host *loader.Host, before *state, stay []Forward) []string {
	if !anySourceDiffers(host, before) {
		return nil
	}
	staying := make(map[frontendKey]Forward, len(stay))
	for _, f := range stay {
		staying[f.Frontend.key()] = f
	}
	var notes messages
	for _, k := range before.valid() {
		f, stays := staying[forwardFromKernel(k, k.Terms(before.epoch)).Frontend.key()]
		if !stays {
			continue
		}
		for _, b := range before.members(k) {
			notes.addSourceChange(host, f, b)
		}
	}
	return notes.most("backends")
}

// anySourceDiffers says whether some backend has another source than it would get now. It
// costs little where there are many forwards and nothing has changed.
func anySourceDiffers(host *loader.Host, before *state) bool {
	for _, b := range before.backends {
		if !elsewhere(host, b.Address) {
			continue
		}
		source, address := sourceOf(host, before.all[b.info.Forward].Source, b.Address)
		if source != b.Source || address != b.Masquerade {
			return true
		}
	}
	return false
}

// addSourceChange says what the source of a backend becomes, if that is another.
func (m *messages) addSourceChange(host *loader.Host, f Forward, b backend) {
	source, address := sourceOf(host, sourceNumbers[f.Source], b.Address)
	masqueraded := b.Source == maps.BackendMasquerades
	route, found := host.Route(b.Address)
	// Where nothing leads there, nobody sees any source. The address matters also to
	// clients that come by the backend's own device, but they have never been told.
	if !found || !elsewhere(host, b.Address) {
		return
	}
	to := backendFromKernel(b.Backend, maps.BackendRole{}).PlaceLabel()
	as := "the address of " + route.Device
	pool := ownAddresses(host, f.SourceAddresses, b.Address.Is4())
	switch {
	case len(pool) > 0:
		as = oneOf(pool)
	case address.IsValid():
		as = address.String()
	}
	switch masquerades := source == maps.BackendMasquerades; {
	case masquerades && !masqueraded:
		m.add("%s to %s now masquerades as %s: %s; --source preserve keeps clients' addresses", f.Frontend, to, as, route.Why)
	case masquerades && address != b.Masquerade && len(pool) == 0:
		m.add("%s to %s now masquerades as another address, %s: that is this host's on the way there", f.Frontend, to, as)
	case !masquerades && masqueraded:
		m.add("%s to %s now keeps clients' addresses: %s; --source masquerade hides them", f.Frontend, to, route.Why)
	}
}

// markNotes says which rules by marks are followed, if packets leave again.
func markNotes(host *loader.Host, targets []target) []string {
	var notes messages
	if slices.ContainsFunc(targets, func(t target) bool { return elsewhere(host, t.backend.Address) }) {
		for _, note := range host.MarkNotes() {
			notes.add("%s", note)
		}
	}
	return notes.most("rules")
}

// routeWarnings says of new backends what wayWarnings does, and who must see to
// it that their answers come back.
func routeWarnings(host *loader.Host, targets []target) []string {
	var warnings messages
	for _, t := range targets {
		if t.forward.Source != SourcePreserve || !elsewhere(host, t.backend.Address) {
			continue
		}
		if route, found := host.Route(t.backend.Address); found && !route.Behind {
			warnings.add("%s: with source preserve, that machine must send its answers to clients by way of this host", route.Why)
		}
	}
	return append(wayWarnings(host, targets), warnings.most("backends")...)
}

// wayWarnings says which backends elsewhere packets do not reach.
func wayWarnings(host *loader.Host, targets []target) []string {
	var warnings messages
	families := make(map[bool]bool)
	for _, t := range targets {
		if !elsewhere(host, t.backend.Address) {
			continue
		}
		families[t.backend.Address.Is6()] = true
		switch route, found := host.Route(t.backend.Address); {
		case !found:
			warnings.add("%s: clients are refused until there is one", route.Why)
		case route.Down:
			warnings.add("%s, but %s has no carrier: clients wait in vain until it has", route.Why, route.Device)
		}
	}
	for _, ipv6 := range []bool{false, true} {
		if !families[ipv6] {
			continue
		}
		off := host.ForwardingOff(ipv6)
		var keep []string
		if ipv6 && len(off) > 0 {
			keep = host.AcceptRouters()
		}
		for _, sysctl := range off {
			warnings.add("%s", forwardingAdvice(sysctl, keep))
		}
	}
	if len(families) > 0 {
		for _, warning := range host.MarkWarnings() {
			warnings.add("%s", warning)
		}
	}
	return warnings.most("backends")
}

// forwardingAdvice says how to make this host forward. keep are settings that must come
// first, or the kernel removes the routes that it has from router advertisements.
func forwardingAdvice(sysctl string, keep []string) string {
	settings := append(slices.Clone(keep), sysctl+"=1")
	advice := fmt.Sprintf("%s is 0, which keeps this host from forwarding: `sysctl -w %s` changes that", sysctl, strings.Join(settings, " "))
	if len(keep) > 0 {
		advice += "; accept_ra=2 comes first, or the kernel removes the routes that it has from router advertisements"
	}
	return advice
}
