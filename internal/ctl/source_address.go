// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// sourceAddresses parses the addresses that masqueraded flows shall have, which must suit the
// backends.
func (s Spec) sourceAddresses(f Forward) ([]netip.Addr, error) {
	var all []netip.Addr
	for i, word := range s.SourceAddresses {
		a, err := parseAddress(word)
		switch {
		case err != nil:
		case a.IsLoopback() || a.IsLinkLocalUnicast():
			err = Errorf(ErrSyntax, "%s is no address that another machine could answer to; give one that reaches this host from there", a)
		case slices.Contains(all, a):
			err = Errorf(ErrSyntax, "source address %s is given twice; give it once", a)
		case len(f.Backends) > 0 && !slices.ContainsFunc(f.Backends, func(b Backend) bool { return b.Address.IsValid() && b.Address.Is4() == a.Is4() }):
			err = Errorf(ErrSyntax, "source address %s is %s, and no backend has an address of that family; leave it out", a, family(a.Is4()))
		}
		if err != nil {
			return nil, atItem(keySourceAddresses, i, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// checkSourceAddresses tells whether the forward can have its source addresses.
func (f Forward) checkSourceAddresses() error {
	switch n := len(f.SourceAddresses); {
	case n > maps.MaxSourceAddresses:
		return Errorf(ErrSyntax, "%s has %d source addresses; give at most %d", f.Frontend, n, maps.MaxSourceAddresses)
	case n > 0 && f.Source == SourcePreserve:
		return Errorf(ErrSyntax, "with source preserve, no source address of %s is used; leave them out, or choose source masquerade", f.Frontend)
	}
	return nil
}

// checkOwnAddresses refuses source addresses that are not this host's: what backends answer to
// them would go elsewhere.
func checkOwnAddresses(host *loader.Host, f Forward) error {
	for _, a := range f.SourceAddresses {
		if !host.HasAddress(a) {
			return Errorf(ErrSyntax, "source address %s is no address of this host; give one that is, or add it first: `ip address add`", a)
		}
	}
	return nil
}

// ofFamily returns those of some addresses that are of a family.
func ofFamily(all []netip.Addr, is4 bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a.Is4() != is4 })
}

// ownAddresses returns those of a family that this host has of some addresses.
func ownAddresses(host *loader.Host, all []netip.Addr, is4 bool) []netip.Addr {
	return slices.DeleteFunc(ofFamily(all, is4), func(a netip.Addr) bool { return !host.HasAddress(a) })
}

// sourcePools returns what masqueraded flows have as source, of the forwards that live in these
// states. What the host has lost meanwhile is left out.
func sourcePools(host *loader.Host, states []*state) []maps.SourcePool {
	var all []maps.SourcePool
	known := make(map[uint32]bool)
	for _, s := range states {
		for _, k := range s.alive() {
			if known[k.ID] || len(k.SourceAddresses) == 0 {
				continue
			}
			known[k.ID] = true
			for _, is4 := range []bool{true, false} {
				if own := ownAddresses(host, k.SourceAddresses, is4); len(own) > 0 {
					all = append(all, maps.SourcePool{Forward: k.ID, Addresses: own})
				}
			}
		}
	}
	return all
}

// sourceAddressWarnings says which source addresses of forwards the host has lost.
func sourceAddressWarnings(host *loader.Host, forwards []Forward) []string {
	var warnings messages
	for _, f := range forwards {
		for _, a := range f.SourceAddresses {
			if !host.HasAddress(a) {
				warnings.add("%s: source address %s is no address of this host any more, and new flows have another; `ip address add` brings it back", f.Frontend, a)
			}
		}
	}
	return warnings.most("addresses")
}

// oneOf names what masqueraded flows have, for people.
func oneOf(pool []netip.Addr) string { return orList(words(pool)) }
