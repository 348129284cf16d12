// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"
	"strings"

	"github.com/xfwd/xfwd/internal/loader"
)

// surprises says what users of new forwards may not expect, although it is right. forwards
// are all that there shall be, added those that are new, targets the new backends.
func surprises(host *loader.Host, forwards, added []Forward, targets []target) []string {
	var notes messages
	notes.addForeignAddresses(host, added)
	notes.addChains(host, forwards, added)
	notes.addJoinedNetworks(host, targets)
	return notes.most("forwards")
}

// addForeignAddresses says which frontends have an address that this host has not. That is
// right for a virtual address which is routed here. Behind 1:1 NAT it is a mistake.
func (m *messages) addForeignAddresses(host *loader.Host, added []Forward) {
	for n, f := range added {
		if m.full() {
			m.more += len(added) - n
			return
		}
		if a := f.Frontend.Address; elsewhere(host, a) {
			m.add("%s is no address of this host: a forward of it serves packets that arrive with that destination; "+
				"behind 1:1 NAT they arrive with this host's own address, so leave the address out", a)
		}
	}
}

// addChains says which forwards lead to another one. Packets are translated once, so the
// second does not apply to what the first has translated.
func (m *messages) addChains(host *loader.Host, forwards, added []Forward) {
	if len(added) == 0 {
		return
	}
	all, fresh := newFrontendIndex(forwards), newFrontendIndex(added)
	isNew := make(map[frontendKey]bool, len(added))
	for _, f := range added {
		isNew[f.Frontend.key()] = true
	}
	for n, f := range forwards {
		if m.full() {
			m.more += len(forwards) - n
			return
		}
		seconds := fresh
		if isNew[f.Frontend.key()] {
			seconds = all
		}
		for _, b := range f.Backends {
			if elsewhere(host, b.Address) {
				continue
			}
			if second, found := seconds.covering(host, target{f, b}); found {
				m.add("%s reaches what listens on %s itself: a packet is translated once, so %s does not apply to it",
					f.Frontend.Label(), b.portsLabel(), second)
			}
		}
	}
}

// addJoinedNetworks says which forwards lead from one network of Docker to another. Docker
// keeps networks apart by rules that forwarded packets do not meet.
func (m *messages) addJoinedNetworks(host *loader.Host, targets []target) {
	bridges := host.DockerBridges()
	if len(bridges) < 2 {
		return
	}
	remedy := "`--device`"
	if uplink := host.Uplink(); uplink != "" && !slices.Contains(bridges, uplink) {
		remedy = "`--device " + uplink + "`"
	}
	for n, t := range targets {
		if m.full() {
			m.more += len(targets) - n
			return
		}
		if !elsewhere(host, t.backend.Address) {
			continue
		}
		route, found := host.Route(t.backend.Address)
		if !found || !slices.Contains(bridges, route.Device) {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(bridges), func(bridge string) bool {
			return bridge == route.Device || !t.forward.Frontend.arrivesBy(bridge)
		})
		if len(others) > 0 {
			m.add("containers on %s reach one on %s through %s, though Docker keeps these networks apart; %s shuts them out",
				strings.Join(others, ", "), route.Device, t.forward.Frontend, remedy)
		}
	}
}
