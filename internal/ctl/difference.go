// SPDX-License-Identifier: Apache-2.0

package ctl

// Difference returns how to come from have to want: what must be added, what
// removed, what is in both with other backends or terms, or other health of backends, as
// want has it, and what is the same in both; each in the order of Sort. A forward that
// differs in more is one removed and one added.
func Difference(have, want []Forward) (added, removed, changed, kept []Forward) {
	old := map[frontendKey]Forward{}
	for _, f := range have {
		old[f.Canonical().Frontend.key()] = f
	}
	stays := map[frontendKey]bool{}
	for _, f := range want {
		key := f.Canonical().Frontend.key()
		h, found := old[key]
		if !found {
			added = append(added, f)
			continue
		}
		switch {
		case h.Equal(f) && h.sameHealth(f):
			stays[key] = true
			kept = append(kept, f)
		case h.differsOnlyIn(f, keyBackends, keyOwn, keyCheck, keyExpiresAt):
			stays[key] = true
			changed = append(changed, f)
		default:
			added = append(added, f)
		}
	}
	for _, f := range have {
		if !stays[f.Canonical().Frontend.key()] {
			removed = append(removed, f)
		}
	}
	for _, forwards := range [][]Forward{added, removed, changed, kept} {
		Sort(forwards)
	}
	return added, removed, changed, kept
}
