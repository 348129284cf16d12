// SPDX-License-Identifier: Apache-2.0

package ctl

// Difference returns how to come from have to want: what must be added, what
// removed, and what is in both, each in the order of Sort. A forward that
// changes is one removed and one added.
func Difference(have, want []Forward) (added, removed, kept []Forward) {
	old := map[frontendKey]Forward{}
	for _, f := range have {
		old[f.Canonical().Frontend.key()] = f
	}
	same := map[frontendKey]bool{}
	for _, f := range want {
		key := f.Canonical().Frontend.key()
		if h, found := old[key]; found && h.Equal(f) {
			same[key] = true
			kept = append(kept, f)
		} else {
			added = append(added, f)
		}
	}
	for _, f := range have {
		if !same[f.Canonical().Frontend.key()] {
			removed = append(removed, f)
		}
	}
	Sort(added)
	Sort(removed)
	Sort(kept)
	return added, removed, kept
}
