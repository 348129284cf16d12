// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"slices"
	"strings"

	"github.com/xfwd/xfwd/internal/loader"
	"github.com/xfwd/xfwd/internal/maps"
)

// checkCapacity refuses more forwards than the maps have room for.
func checkCapacity(forwards int) error {
	if forwards >= maps.MaxForwards {
		return Errorf(ErrUnsupported, "%d forwards are too many; at most %d can be, a range counts as one", forwards, maps.MaxForwards-1)
	}
	return nil
}

// checkHost refuses a forward that this host cannot serve.
func checkHost(host *loader.Host, f Forward) error {
	for _, device := range f.Frontend.Devices {
		if master := host.Master(device); master != "" {
			return Errorf(ErrSyntax, "%s is a port of %s, where its packets are handled; use --device %s", device, master, master)
		}
	}
	for _, b := range f.Backends {
		switch isElsewhere := elsewhere(host, b.Address); {
		case host.IsBroadcast(b.Address):
			return Errorf(ErrSyntax, "%s is the broadcast address of a network of this host, and a backend is one machine; give the address of that machine", b.Address)
		case host.IsAnycast(b.Address):
			return Errorf(ErrSyntax, "%s is the anycast address of the routers of a network, and a backend is one machine; give the address of that machine", b.Address)
		case isElsewhere && b.Address.IsLinkLocalUnicast():
			return Errorf(ErrSyntax, "%s is a link-local address, to which nothing is forwarded; give another one of that machine", b.Address)
		case !isElsewhere && f.Source == SourceMasquerade:
			return Errorf(ErrSyntax, "%s is an address of this host, whose answers need no masquerade to come back; give no source", b.Address)
		}
	}
	return nil
}

// hookWarnings says what is not attached: one line for each device and reason, and
// one for all sockets, which one reason keeps from their programs.
func hookWarnings(hooks []loader.Hook) []string {
	type place struct{ device, why string }
	var places []place
	names := make(map[place][]string)
	sockets := ""
	for _, h := range hooks {
		p := place{h.Device, h.Why}
		switch {
		case !h.Missing:
		case h.Device == "":
			sockets = cmp.Or(sockets, h.Why)
		default:
			if names[p] == nil {
				places = append(places, p)
			}
			names[p] = append(names[p], h.Name)
		}
	}
	var warnings messages
	if sockets != "" {
		warnings.add("connections of this host itself are not forwarded: %s", sockets)
	}
	for _, p := range places {
		if slices.Equal(names[p], []string{"xdp"}) {
			warnings.add("XDP does not serve %s: %s", p.device, p.why)
		} else {
			warnings.add("nothing is attached to %s of %s: %s", strings.Join(names[p], " and "), p.device, p.why)
		}
	}
	return warnings.most("hooks")
}

// newForwardWarnings says what may surprise about new forwards: where they take
// clients away from a process, or where they are bound to no device yet. Looking
// for more than anybody reads would take its time.
func newForwardWarnings(host *loader.Host, listeners *loader.Listeners, added []Forward) []string {
	var warnings messages
	for n, f := range added {
		if warnings.full() {
			warnings.more = len(added) - n
			break
		}
		warnings.addMissingDevices(host, f)
		if len(f.Backends) > 0 && !slices.ContainsFunc(f.Backends, Backend.takesNew) {
			warnings.add("%s has no backend that takes new connections: clients are refused", f.Frontend)
		}
		toItself := slices.ContainsFunc(f.Backends, func(b Backend) bool { return !b.Address.IsValid() && b.Ports == f.Frontend.Ports })
		taken := listeners.Ports(uint8(f.Frontend.Protocol), f.Frontend.Address, f.Frontend.Ports.First, f.Frontend.Ports.Last)
		switch {
		case toItself || len(taken) == 0:
		case f.Frontend.Ports.Single():
			warnings.add("a process of this host listens on %s: its clients now reach %s", f.Frontend, f.BackendsLabel())
		default:
			warnings.add("processes of this host listen on %s, which %s has: their clients now reach %s", portList(taken), f.Frontend, f.BackendsLabel())
		}
	}
	return warnings.most("forwards")
}

// addMissingDevices says to which devices a forward is bound that are not there.
func (m *messages) addMissingDevices(host *loader.Host, f Forward) {
	const later = "%s takes effect there when it has come and a command of xfwd has run"
	for _, device := range f.Frontend.Devices {
		if prefix, isPattern := pattern(device); isPattern {
			if len(host.Beginning(prefix)) == 0 {
				m.add("there is no device whose name begins with %s: "+later, prefix, f.Frontend)
			}
		} else if _, found := host.Ifindex(device); !found {
			m.add("there is no device %s: "+later, device, f.Frontend)
		}
	}
}
