// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"slices"
	"strings"
)

// Add returns the change that adds forwards. One that is there already stays, with
// the choice of own connections, the check and the expiry that it is added with. A frontend or a name that a
// different forward has is ErrConflict, or with replace, that forward goes.
func Add(forwards []Forward, replace bool) Change {
	return func(have []Forward) ([]Forward, error) {
		return merge(have, forwards, replace)
	}
}

// ApplyFile returns the change that makes the forwards what a file says: those
// of the file are there afterwards and what had their frontends or names is
// not. With prune, all others go too.
func ApplyFile(forwards []Forward, prune bool) Change {
	return func(have []Forward) ([]Forward, error) {
		if prune {
			have = nil
		}
		return merge(have, forwards, true)
	}
}

// Delete returns the change that removes what Select finds for the references,
// or with all, every forward.
func Delete(refs []string, all bool) Change {
	return func(have []Forward) ([]Forward, error) {
		if all {
			return nil, nil
		}
		gone, err := selectKeys(have, refs)
		if err != nil {
			return nil, err
		}
		var want []Forward
		for _, f := range have {
			if !gone[f.Frontend.key()] {
				want = append(want, f)
			}
		}
		return want, nil
	}
}

// merge returns fresh and those of have that can stand beside it. Without
// replace, what cannot stand beside it must be what comes instead, but for its terms:
// these are no part of what it is.
func merge(have, fresh []Forward, replace bool) ([]Forward, error) {
	x := newIndex()
	for _, f := range fresh {
		if rival, found := x.rival(f); found {
			return nil, Errorf(ErrConflict, "%s and %s cannot both be; give one of them", x.forwards[rival], f)
		}
		x.add(f)
	}
	want := slices.Clone(fresh)
	for _, h := range have {
		rival, found := x.rival(h)
		if !found {
			want = append(want, h)
		} else if f := x.forwards[rival]; !replace && !f.differsOnlyIn(h, keyOwn, keyCheck, keyMSS, keyExpiresAt) {
			return nil, takenError(f, h)
		}
	}
	Sort(want)
	return want, nil
}

// takenError says why f cannot be added to a set that has h.
func takenError(f, h Forward) error {
	owner := h.BackendsLabel()
	if h.Name != "" {
		owner += fmt.Sprintf(" (%q)", h.Name)
	}
	switch differences := f.differences(h); {
	case !f.Frontend.Conflicts(h.Frontend):
		return Errorf(ErrConflict, "the name %q belongs to %s; choose another, or take it with --replace", f.Name, h)
	case slices.Contains(differences, keyFrontend):
		return Errorf(ErrConflict, "%s overlaps %s, which goes to %s; --replace removes that forward", f.Frontend.Label(), h.Frontend.Label(), owner)
	case slices.Contains(differences, keyBackends):
		return Errorf(ErrConflict, "%s is taken, it goes to %s; --replace takes it", h.Frontend.Label(), owner)
	default:
		return Errorf(ErrConflict, "%s is there already, with another %s; --replace changes that", h, strings.Join(differences, " and "))
	}
}
