// SPDX-License-Identifier: Apache-2.0

package ctl

import "slices"

// AddBackends returns the change that gives backends to the forwards which Select
// finds for ref. One that is there already stays as it is; with another weight
// or state it is ErrConflict.
func AddBackends(ref string, words []string) (Change, error) {
	backends, err := parseBackendWords(words)
	if err != nil {
		return nil, err
	}
	return changeBackends(ref, func(f *Forward) error {
		for _, b := range backends {
			i := f.indexBackend(b.Backend)
			if i < 0 {
				f.Backends = append(f.Backends, b.Backend)
			} else if f.Backends[i].wished() != b.Backend {
				return Errorf(ErrConflict, "%s has %s already; `xfwd backend set` changes it", f.Frontend.Label(), f.Backends[i].Label())
			}
		}
		return nil
	}), nil
}

// DeleteBackends returns the change that takes backends from the forwards which
// Select finds for ref; a forward may be left without any. A backend that one
// of them has not is ErrNotFound.
func DeleteBackends(ref string, words []string) (Change, error) {
	backends, err := parseBackendPlaces(words)
	if err != nil {
		return nil, err
	}
	return changeEachBackend(ref, backends, func(f *Forward, i int, _ backendWord) {
		f.Backends = slices.Delete(f.Backends, i, i+1)
	}), nil
}

// DrainBackends returns the change after which backends of the forwards that
// Select finds for ref get no new flows. Their weights stay, for SetBackends to
// return to. A backend that one of the forwards has not is ErrNotFound.
func DrainBackends(ref string, words []string) (Change, error) {
	backends, err := parseBackendPlaces(words)
	if err != nil {
		return nil, err
	}
	return changeEachBackend(ref, backends, func(f *Forward, i int, _ backendWord) {
		f.Backends[i].State = BackendDraining
	}), nil
}

// SetBackends returns the change after which backends of the forwards that
// Select finds for ref have the state of the words, and the weight if the words
// have one. So a word without options makes its backend active with the weight
// that it had, or 1 if that was 0. A backend that one of the forwards has not is
// ErrNotFound.
func SetBackends(ref string, words []string) (Change, error) {
	backends, err := parseBackendWords(words)
	if err != nil {
		return nil, err
	}
	return changeEachBackend(ref, backends, func(f *Forward, i int, w backendWord) {
		b := &f.Backends[i]
		b.State = w.State
		if w.saysWeight || w.State == BackendActive && b.Weight == 0 {
			b.Weight = w.Weight
		}
	}), nil
}

// parseBackendWords parses backends, none of them twice.
func parseBackendWords(words []string) ([]backendWord, error) {
	var backends []backendWord
	seen := map[backendKey]bool{}
	for _, word := range words {
		b, err := parseBackendWord(word)
		if err != nil {
			return nil, err
		}
		if seen[b.key()] {
			return nil, Errorf(ErrSyntax, "backend %s is given twice; give it once", b.Place())
		}
		seen[b.key()] = true
		backends = append(backends, b)
	}
	return backends, nil
}

// parseBackendPlaces is parseBackendWords for where options mean nothing.
func parseBackendPlaces(words []string) ([]backendWord, error) {
	backends, err := parseBackendWords(words)
	for _, b := range backends {
		if b.saysWeight || b.saysState {
			return nil, Errorf(ErrSyntax, "backend %s needs no options here; write %s", b, b.Place())
		}
	}
	return backends, err
}

// changeBackends returns the change that edits the forwards which Select finds
// for ref.
func changeBackends(ref string, edit func(*Forward) error) Change {
	return func(have []Forward) ([]Forward, error) {
		chosen, err := selectKeys(have, []string{ref})
		if err != nil {
			return nil, err
		}
		want := slices.Clone(have)
		for i := range want {
			f := want[i].Canonical()
			if !chosen[f.Frontend.key()] {
				continue
			}
			if err := edit(&f); err != nil {
				return nil, err
			}
			if err := f.Validate(); err != nil {
				return nil, err
			}
			want[i] = f
		}
		return want, nil
	}
}

// changeEachBackend returns the change that edits backends, which must be there,
// by their position.
func changeEachBackend(ref string, backends []backendWord, edit func(f *Forward, i int, w backendWord)) Change {
	return changeBackends(ref, func(f *Forward) error {
		for _, b := range backends {
			i := f.indexBackend(b.Backend)
			if i < 0 {
				return Errorf(ErrNotFound, "%s has no backend %s; `xfwd show %s` lists those it has", f.Frontend.Label(), b.PlaceLabel(), f.Frontend)
			}
			edit(f, i, b)
		}
		return nil
	})
}

// indexBackend returns the position of the backend that is in the same place as
// b, or -1.
func (f *Forward) indexBackend(b Backend) int {
	return slices.IndexFunc(f.Backends, func(o Backend) bool { return o.key() == b.key() })
}
