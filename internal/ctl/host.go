// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"fmt"

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
		if b.Address.IsValid() && !host.HasAddress(b.Address) {
			return NotInThisVersion(fmt.Sprintf("%s is not an address of this host, and forwarding to other hosts is", b.Address),
				"leave the address out or give one that `ip address` shows")
		}
	}
	return nil
}

// hookWarnings says what could not be attached.
func hookWarnings(hooks []loader.Hook) []string {
	var warnings []string
	sockets := false
	for _, h := range hooks {
		switch {
		case !h.Missing:
		case h.Device != "":
			warnings = append(warnings, fmt.Sprintf("nothing is attached to %s of %s: %s", h.Name, h.Device, h.Why))
		case !sockets:
			// One reason keeps all of them away.
			sockets = true
			warnings = append(warnings, fmt.Sprintf("connections of this host itself are not forwarded: %s", h.Why))
		}
	}
	return warnings
}

// mostWarnings is how many warnings about new forwards anybody reads. Looking for
// more would take its time, too.
const mostWarnings = 10

// targetWarnings says which of the new forwards take traffic away from a process,
// and which hand it to nobody. They are guesses, so errors are not told.
func (i *Instance) targetWarnings(host *loader.Host, added []Forward) []string {
	var warnings []string
	listeners := i.loader.Listeners()
	for n, f := range added {
		if len(warnings) >= mostWarnings {
			return append(warnings, fmt.Sprintf("%d more forwards were not looked at", len(added)-n))
		}
		warnings = append(warnings, forwardWarnings(host, listeners, f)...)
	}
	return warnings
}

func forwardWarnings(host *loader.Host, listeners *loader.Listeners, f Forward) []string {
	var warnings []string
	for _, device := range f.Frontend.Devices {
		if _, found := host.Ifindex(device); !found {
			warnings = append(warnings, fmt.Sprintf("there is no device %s: %s takes effect there when it has come and a command of xfwd has run", device, f.Frontend))
		}
	}
	protocol, b := uint8(f.Frontend.Protocol), f.Backends[0]
	toItself := !b.Address.IsValid() && b.Ports == f.Frontend.Ports
	if listeners.Listens(protocol, f.Frontend.Address, f.Frontend.Ports.First, f.Frontend.Ports.Last) && !toItself {
		warnings = append(warnings, fmt.Sprintf("a process of this host listens on %s: its clients now reach %s", f.Frontend, b.Label()))
	}
	if !listeners.Answers(host, protocol, b.Address, b.Ports.First, b.Ports.Last) {
		warnings = append(warnings, fmt.Sprintf("nobody answers at %s yet: clients of %s are refused until somebody does", b.Label(), f.Frontend))
	}
	return warnings
}
