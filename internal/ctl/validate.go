// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/xfwd/xfwd/internal/maps"
)

const (
	// maxBackends keeps every backend of a forward at a fair share of the
	// largest table that new flows choose from.
	maxBackends = 4096
	// maxAffinity is longer than any session, and its seconds fit 32 bits.
	maxAffinity = 365 * 24 * time.Hour
)

// Validate reports the first thing that is wrong with the forward taken by
// itself; whether it goes together with others, the changes Add and ApplyFile
// check. A forward without backends is valid: it refuses its clients. Errors are
// ErrSyntax.
func (f Forward) Validate() error {
	if f.Name != "" {
		if err := checkName(f.Name); err != nil {
			return at(keyName, err)
		}
	}
	if n := len(f.Frontend.Devices); n > maps.MaxDevices {
		return at(keyDevices, Errorf(ErrSyntax, "%s has %d devices; give at most %d", f.Frontend, n, maps.MaxDevices))
	}
	for i, d := range f.Frontend.Devices {
		if err := checkDevice(d); err != nil {
			return atItem(keyDevices, i, err)
		}
	}
	if n := len(strings.Join(f.Frontend.Devices, "/")) + 1; n > maps.DevicesSize {
		return at(keyDevices, Errorf(ErrSyntax, "the names of the devices of %s have %d bytes together; give shorter names, of at most %d", f.Frontend, n, maps.DevicesSize))
	}
	if n := len(f.Backends); n > maxBackends {
		return at(keyBackends, Errorf(ErrSyntax, "%s has %d backends; give at most %d", f.Frontend, n, maxBackends))
	}
	seen := map[backendKey]bool{}
	for i, b := range f.Backends {
		if err := f.checkBackend(b); err != nil {
			return atItem(keyBackends, i, err)
		}
		if seen[b.key()] {
			return atItem(keyBackends, i, Errorf(ErrSyntax, "backend %s is given twice; give it once, with a weight", b))
		}
		seen[b.key()] = true
	}
	if err := f.checkSourceAddresses(); err != nil {
		return at(keySourceAddresses, err)
	}
	if f.Affinity < 0 || f.Affinity > maxAffinity || f.Affinity%time.Second != 0 {
		return at(keyAffinity, Errorf(ErrSyntax, "affinity %s is not in whole seconds up to a year; write one like 3h", f.Affinity))
	}
	if err := f.checkGroup(); err != nil {
		return at(keyGroup, err)
	}
	if err := f.checkOwn(); err != nil {
		return at(keyOwn, err)
	}
	return at(keyComment, checkComment(f.Comment))
}

// checkGroup tells whether the forward can be in its group.
func (f Forward) checkGroup() error {
	if f.AffinityGroup == "" {
		return nil
	}
	if err := checkName(f.AffinityGroup); err != nil {
		return Errorf(ErrSyntax, "affinity group: %w", err)
	}
	if f.Affinity == 0 {
		return Errorf(ErrSyntax, "the affinity group %q shares an affinity, and %s has none; give one, such as --affinity 3h", f.AffinityGroup, f.Frontend)
	}
	return nil
}

// checkBackend tells whether packets for the frontend can go to the backend.
func (f Forward) checkBackend(b Backend) error {
	fe := f.Frontend
	if !b.Ports.Single() && b.Ports.Len() != fe.Ports.Len() {
		return Errorf(ErrSyntax, "%s has %s and backend %s has %d; give as many, or one port for all",
			fe, countPorts(fe.Ports.Len()), b, b.Ports.Len())
	}
	if !b.Address.IsValid() {
		if f.Source == SourceMasquerade {
			return Errorf(ErrSyntax, "backend %s is this host itself, whose answers need no masquerade to come back; give it an address or choose source auto", b)
		}
		return nil
	}
	if fe.Address.IsValid() && fe.Address.Is4() != b.Address.Is4() {
		return Errorf(ErrSyntax, "%s is %s and backend %s is %s, and xfwd does not translate between them; give both in one family",
			fe, family(fe.Address.Is4()), b, family(b.Address.Is4()))
	}
	if b.Address.IsLoopback() && !fe.onlyOwn() {
		return Errorf(ErrSyntax, "backend %s is a loopback address, which the kernel refuses to packets from outside; write %s, and let the program listen on every address",
			b, Backend{Ports: b.Ports, Weight: b.Weight, State: b.State})
	}
	return nil
}

func countPorts(n int) string {
	if n == 1 {
		return "one port"
	}
	return strconv.Itoa(n) + " ports"
}

func family(is4 bool) string {
	if is4 {
		return "IPv4"
	}
	return "IPv6"
}

// checkComment accepts one line of text that a terminal can show.
func checkComment(s string) error {
	switch {
	case len(s) > maps.MaxComment:
		return Errorf(ErrSyntax, "the comment is %d bytes long; shorten it to %d", len(s), maps.MaxComment)
	case !utf8.ValidString(s):
		return Errorf(ErrSyntax, "the comment is not valid UTF-8; write it in UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return Errorf(ErrSyntax, "the comment %q has a control character; write it in one line of plain text", s)
	}
	return nil
}
