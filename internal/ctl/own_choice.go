// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
)

// onlyOwn says whether only this host's own connections can be to the frontend.
func (f Frontend) onlyOwn() bool {
	return f.Address.IsLoopback() || slices.Equal(f.Devices, []string{loopback})
}

// checkOwn refuses a forward that would take nothing.
func (f Forward) checkOwn() error {
	if f.Own == OwnNever && f.Frontend.onlyOwn() {
		return Errorf(ErrSyntax, "%s has only this host's own connections, and own never leaves these alone; choose own auto", f.Frontend.Label())
	}
	return nil
}

// sparesListeners says whether the forward leaves own connections to processes that
// listen at one address by name.
func (f Forward) sparesListeners() bool {
	return f.Own == OwnAuto && !f.Frontend.Address.IsValid() && f.Frontend.arrivesBy(loopback)
}

// ownNotes says which processes of this host new forwards leave their own connections
// to, or with own always, take them from.
func ownNotes(host *loader.Host, listeners *loader.Listeners, added []Forward) []string {
	var notes messages
	for n, f := range added {
		if notes.full() {
			notes.more = len(added) - n
			break
		}
		fe := f.Frontend
		spares := f.sparesListeners()
		if !spares && (f.Own != OwnAlways || fe.Address.IsValid()) {
			continue
		}
		var named []netip.AddrPort
		for _, l := range listeners.ByName(uint8(fe.Protocol), fe.Ports.First, fe.Ports.Last) {
			if host.HasAddress(l.Addr()) && f.serves(l.Addr()) {
				named = append(named, l)
			}
		}
		switch where := places(named); {
		case where == "":
		case spares:
			notes.add("a process listens on %s: this host's own connections there still reach it; `--own always` forwards them too", where)
		default:
			notes.add("a process listens on %s: this host's own connections there now reach %s, as you asked", where, f.BackendsLabel())
		}
	}
	return notes.most("forwards")
}

// serves says whether the forward has backends of the family of an address, or none
// at all, which refuses clients of both.
func (f Forward) serves(a netip.Addr) bool {
	return len(f.Backends) == 0 || slices.ContainsFunc(f.Backends, func(b Backend) bool {
		return !b.Address.IsValid() || b.Address.Is4() == a.Is4()
	})
}

// mostPlaces is how many addresses and ports of listeners are worth reading.
const mostPlaces = 3

// places lists addresses and ports for people.
func places(list []netip.AddrPort) string {
	s := ""
	for i, p := range list {
		switch {
		case i == mostPlaces:
			return s + fmt.Sprintf(" and %d more", len(list)-i)
		case i > 0:
			s += ", "
		}
		s += p.String()
	}
	return s
}
