// SPDX-License-Identifier: Apache-2.0

package ctl

import "slices"

// Difference returns how to come from have to want: what must be added, what
// removed, what is in both with other backends or terms, or other health of backends, as
// want has it, and what is the same in both; each in the order of Sort. A forward that
// differs in more is one removed and one added.
func Difference(have, want []Forward) (added, removed, changed, kept []Forward) {
	old := make(map[frontendKey]Forward, len(have))
	for _, f := range have {
		old[f.Frontend.canonicalKey()] = f
	}
	stays := make(map[frontendKey]bool, len(want))
	for _, f := range want {
		key := f.Frontend.canonicalKey()
		h, found := old[key]
		if !found {
			added = append(added, f)
			continue
		}
		switch {
		case h.identical(f), h.Equal(f) && h.sameHealth(f):
			stays[key] = true
			kept = append(kept, f)
		case h.differsOnlyIn(f, keyBackends, keyOwn, keyCheck, keyMSS, keyExpiresAt):
			stays[key] = true
			changed = append(changed, f)
		default:
			added = append(added, f)
		}
	}
	for _, f := range have {
		if !stays[f.Frontend.canonicalKey()] {
			removed = append(removed, f)
		}
	}
	for _, forwards := range [][]Forward{added, removed, changed, kept} {
		Sort(forwards)
	}
	return added, removed, changed, kept
}

// identical says of most forwards that stay, and takes no time for it, that they are the
// same in everything. Of others it says nothing.
func (f Forward) identical(o Forward) bool {
	return f.Name == o.Name && f.Frontend.Protocol == o.Frontend.Protocol && f.Frontend.Address == o.Frontend.Address &&
		f.Frontend.Ports == o.Frontend.Ports && slices.Equal(f.Frontend.Devices, o.Frontend.Devices) &&
		slices.Equal(f.Backends, o.Backends) && f.Source == o.Source && f.Balance == o.Balance && f.Affinity == o.Affinity &&
		f.Comment == o.Comment && f.ExpiresAt.Equal(o.ExpiresAt) && f.Check == o.Check && f.MSS == o.MSS &&
		f.AffinityGroup == o.AffinityGroup && f.Own == o.Own && slices.Equal(f.SourceAddresses, o.SourceAddresses)
}

// canonicalKey is key for devices in any order.
func (f Frontend) canonicalKey() frontendKey {
	if len(f.Devices) > 0 {
		f.Devices = canonicalDevices(f.Devices)
	}
	return f.key()
}
