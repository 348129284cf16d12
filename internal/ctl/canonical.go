// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Canonical returns the forward in the one form that all its spellings have:
// defaults are set, the devices sorted, the moment of expiry in UTC. The
// backends keep their order, which people chose, though it means nothing.
func (f Forward) Canonical() Forward {
	f.Frontend.Devices = canonicalDevices(f.Frontend.Devices)
	f.Backends = slices.Clone(f.Backends)
	for i, b := range f.Backends {
		f.Backends[i] = b.canonical()
	}
	f.SourceAddresses = slices.Clone(f.SourceAddresses)
	slices.SortFunc(f.SourceAddresses, netip.Addr.Compare)
	if f.Source == "" {
		f.Source = SourceAuto
	}
	if f.Balance == "" {
		f.Balance = BalanceMaglev
	}
	if f.Own == "" {
		f.Own = OwnAuto
	}
	if !f.ExpiresAt.IsZero() {
		f.ExpiresAt = f.ExpiresAt.UTC().Truncate(time.Second)
	}
	return f
}

// Equal reports whether two forwards are the same in everything that users say of
// them, the order of backends and devices aside.
func (f Forward) Equal(o Forward) bool {
	return len(f.differences(o)) == 0
}

// differences names the keys, as files have them, in which two forwards
// differ.
func (f Forward) differences(o Forward) []string {
	f, o = f.Canonical(), o.Canonical()
	slices.SortFunc(f.Backends, Backend.Compare)
	slices.SortFunc(o.Backends, Backend.Compare)
	var keys []string
	for _, d := range []struct {
		key  string
		same bool
	}{
		{keyFrontend, f.Frontend.Equal(o.Frontend)},
		{keyBackends, slices.EqualFunc(f.Backends, o.Backends, func(a, b Backend) bool { return a.wished() == b.wished() })},
		{keyName, f.Name == o.Name},
		{keySource, f.Source == o.Source},
		{keySourceAddresses, slices.Equal(f.SourceAddresses, o.SourceAddresses)},
		{keyBalance, f.Balance == o.Balance},
		{keyAffinity, f.Affinity == o.Affinity},
		{keyGroup, f.AffinityGroup == o.AffinityGroup},
		{keyOwn, f.Own == o.Own},
		{keyCheck, f.Check == o.Check},
		{keyMSS, f.MSS == o.MSS},
		{keyComment, f.Comment == o.Comment},
		{keyExpiresAt, f.ExpiresAt.Equal(o.ExpiresAt)},
	} {
		if !d.same {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// differsOnlyIn reports whether two forwards are the same in everything but these
// keys, and maybe in them.
func (f Forward) differsOnlyIn(o Forward, keys ...string) bool {
	return !slices.ContainsFunc(f.differences(o), func(key string) bool { return !slices.Contains(keys, key) })
}

// String is the forward as one readable line: 80/tcp -> this host:30080.
func (f Forward) String() string {
	return f.Frontend.Label() + " -> " + f.BackendsLabel()
}

// backendsWidth is what a line of a terminal has room for beside a frontend.
const backendsWidth = 40

// BackendsLabel lists the backends for people: the first, as many more as fit
// into a line, and how many are left.
func (f Forward) BackendsLabel() string {
	if len(f.Backends) == 0 {
		return "no backend"
	}
	var label, list string
	for i, b := range f.Backends {
		if i > 0 {
			list += ", "
		}
		list += b.Label()
		if i > 0 && len(list) > backendsWidth {
			break
		}
		all := list
		if left := len(f.Backends) - 1 - i; left > 0 {
			all += fmt.Sprintf(" and %d more", left) + downAmong(f.Backends[i+1:])
		}
		if i == 0 || len(all) <= backendsWidth {
			label = all
		}
	}
	return label
}

// downAmong says how many of some backends are down.
func downAmong(backends []Backend) string {
	down := 0
	for _, b := range backends {
		if b.Health == HealthDown {
			down++
		}
	}
	if down == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d down)", down)
}

// Sort puts forwards in the order in which they are shown: by address, port
// and protocol.
func Sort(forwards []Forward) {
	slices.SortStableFunc(forwards, func(a, b Forward) int { return a.Frontend.Compare(b.Frontend) })
}
