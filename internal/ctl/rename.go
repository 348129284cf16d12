// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// renamed is a device that has another name than when a command last saw it.
type renamed struct {
	forward  uint32
	was, now string
}

// follow gives forwards that are bound to a device by name its new name, if it has been
// renamed. The device counts, not its name: another device may have the name by now. A
// forward stays where it is if another one asks for the same by the new name.
func (s *state) follow(devices *loader.Devices) {
	var moved []maps.Forward
	bound := s.bound()
	for _, k := range bound {
		if next, changes := renameDevices(devices, k); len(changes) > 0 {
			moved = append(moved, next)
			s.renamed = append(s.renamed, changes...)
		}
	}
	if len(moved) == 0 {
		return
	}
	isMoved := make(map[uint32]bool)
	for _, k := range moved {
		isMoved[k.ID] = true
	}
	x := newIndex()
	bare := func(k maps.Forward) Forward { return Forward{Frontend: forwardFromKernel(k, k.After).Frontend} }
	for _, k := range bound {
		if !isMoved[k.ID] {
			x.add(bare(k))
		}
	}
	for _, k := range moved {
		if _, taken := x.rival(bare(k)); taken {
			k = s.all[k.ID]
			s.renamed = slices.DeleteFunc(s.renamed, func(r renamed) bool { return r.forward == k.ID })
		}
		x.add(bare(k))
		s.all[k.ID] = k
	}
}

// renameDevices returns a forward whose devices have the names that they have now, and
// which of them are new. A name that no forward can be given is not followed to.
func renameDevices(devices *loader.Devices, k maps.Forward) (next maps.Forward, changes []renamed) {
	next = k
	for i, word := range k.Devices {
		if i >= len(k.Known) {
			break
		}
		name, found := devices.Recognise(k.Known[i])
		_, isPattern := pattern(name)
		if !found || devices.Know(word) == k.Known[i] || isPattern || checkMainName(name) != nil {
			continue
		}
		if len(changes) == 0 {
			next.Devices = slices.Clone(k.Devices)
		}
		next.Devices[i] = name
		changes = append(changes, renamed{k.ID, word, name})
	}
	if len(changes) > 0 {
		next.Devices, next.Known = sortDevices(next.Devices, next.Known)
	}
	return next, changes
}

// sortDevices sorts names and what belongs to them as canonicalDevices does.
func sortDevices(names []string, known []maps.KnownDevice) ([]string, []maps.KnownDevice) {
	type pair struct {
		name  string
		known maps.KnownDevice
	}
	pairs := make([]pair, len(names))
	for i, name := range names {
		pairs[i].name = name
		if i < len(known) {
			pairs[i].known = known[i]
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.name, b.name) })
	pairs = slices.CompactFunc(pairs, func(a, b pair) bool { return a.name == b.name })
	names, known = nil, nil
	for _, p := range pairs {
		names, known = append(names, p.name), append(known, p.known)
	}
	return names, known
}

// know returns how devices that are there now can be recognised later. What is not there
// stays as it was known.
func know(devices *loader.Devices, names []string, known []maps.KnownDevice) []maps.KnownDevice {
	is := make([]maps.KnownDevice, len(names))
	copy(is, known)
	for i, name := range names {
		if device := devices.Know(name); device.Ifindex != 0 {
			is[i] = device
		}
	}
	return is
}

// rememberDevices drafts what the devices of forwards that stay are now. That is no part of
// the change, and right whether or not the change takes place.
func (t *transaction) rememberDevices() {
	moved := make(map[uint32]bool)
	for _, r := range t.before.renamed {
		moved[r.forward] = true
	}
	for _, k := range t.before.bound() {
		known := know(&t.host.Devices, k.Devices, k.Known)
		if !moved[k.ID] && slices.Equal(known, k.Known) {
			continue
		}
		k.Known = known
		t.before.all[k.ID] = k
		t.putForward(k)
	}
}

// renameNotes says which forwards have followed a device to its new name.
func renameNotes(s *state) []string {
	var notes messages
	for _, r := range s.renamed {
		k := s.all[r.forward]
		notes.add("%s is called %s now: %s follows it", r.was, r.now, forwardFromKernel(k, k.Terms(s.epoch)).Frontend)
	}
	return notes.most("devices that have been renamed")
}
