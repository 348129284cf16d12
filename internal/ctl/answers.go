// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"slices"

	"github.com/xfwd/xfwd/internal/loader"
)

// takesNew says whether the backend gets new connections as its user wants it.
func (b Backend) takesNew() bool { return b.canonical().State == BackendActive }

// portsLabel names the ports of a backend of this host: port 80 of this host.
func (b Backend) portsLabel() string {
	where := "this host"
	if b.Address.IsValid() {
		where = b.Address.String()
	}
	if b.Ports.Single() {
		return "port " + b.Ports.String() + " of " + where
	}
	return "ports " + b.Ports.String() + " of " + where
}

// refusal is what a client gets where nothing listens.
func refusal(p Protocol) string {
	if p == UDP {
		return "port unreachable"
	}
	return "connection refused"
}

// ownOnly says whether the host itself alone can be a client of the frontend.
func (f Frontend) ownOnly() bool {
	return f.Address.IsLoopback() || slices.Equal(f.Devices, []string{loopback})
}

// answerWarnings says which new backends of this host serve nobody. Other machines are
// not asked.
func answerWarnings(host *loader.Host, listeners *loader.Listeners, frontends *frontendIndex, targets []target) []string {
	var warnings messages
	for n, t := range targets {
		if warnings.full() {
			warnings.more = len(targets) - n
			break
		}
		b, fe := t.backend, t.forward.Frontend
		protocol := uint8(fe.Protocol)
		if elsewhere(host, b.Address) || b.Address.IsLoopback() || listeners.Listens(protocol, b.Address, b.Ports.First, b.Ports.Last) {
			continue
		}
		if answersByTranslation(host, listeners, frontends, t) {
			continue
		}
		loopback, found := listeners.OnLoopback(protocol, b.Ports.First, b.Ports.Last)
		switch {
		case !found:
			warnings.add("nothing listens on %s yet; clients of %s get %q", b.portsLabel(), fe, refusal(fe.Protocol))
		case !fe.ownOnly():
			warnings.add("only %s listens on %s, which the kernel keeps clients from outside away from: those of %s get %q; let the program listen on every address",
				loopback, b.portsLabel(), fe, refusal(fe.Protocol))
		}
	}
	return warnings.most("backends")
}

// answersByTranslation says whether something else than a socket may serve a backend of
// this host: a translator such as a NodePort. TCP can be asked, unless the question
// would itself be a client of another forward; of UDP and of many ports the kernel tells only
// that no translator is there.
func answersByTranslation(host *loader.Host, listeners *loader.Listeners, frontends *frontendIndex, t target) bool {
	b := t.backend
	if t.forward.Frontend.Protocol != TCP || !b.Ports.Single() {
		return listeners.MayBeTranslated()
	}
	if _, ours := frontends.covering(host, t); ours {
		return listeners.MayBeTranslated()
	}
	return listeners.Connects(host, b.Address, b.Ports.First)
}
