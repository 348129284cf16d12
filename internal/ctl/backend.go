// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

const (
	defaultWeight = 1
	maxWeight     = 1000
)

// ParseBackend parses [ADDRESS:]PORT[-PORT][,weight=N][,state=STATE]. The address
// localhost means this host, as no address does. The
// backend has weight 1 and is active unless told otherwise; weight 0 is another
// word for draining. Errors are ErrSyntax.
func ParseBackend(s string) (Backend, error) {
	w, err := parseBackendWord(s)
	return w.Backend, err
}

// backendWord is a backend and which of its options were said.
type backendWord struct {
	Backend
	saysWeight, saysState bool
}

func parseBackendWord(s string) (backendWord, error) {
	w := backendWord{Backend: Backend{Weight: defaultWeight, State: BackendActive}}
	if err := w.parse(s); err != nil {
		return backendWord{}, Errorf(ErrSyntax, "backend %q: %w", s, err)
	}
	return w, nil
}

func (w *backendWord) parse(s string) error {
	where, options, hasOptions := strings.Cut(s, ",")
	if strings.Contains(where, "/") {
		return Errorf(ErrSyntax, "a backend has the protocol of its frontend; leave the slash and what follows it out")
	}
	rest, thisHost := strings.CutPrefix(where, localhost+":")
	var err error
	if !thisHost {
		if w.Address, rest, err = splitAddress(where); err != nil {
			return err
		}
	}
	if w.Ports, err = parsePorts(rest); err != nil || !hasOptions {
		return err
	}
	for option := range strings.SplitSeq(options, ",") {
		if err := w.parseOption(option); err != nil {
			return err
		}
	}
	if w.Weight == 0 {
		if w.saysState && w.State == BackendActive {
			return Errorf(ErrSyntax, "weight=0 means state=draining; leave one of them out")
		}
		w.State = BackendDraining
	}
	return nil
}

func (w *backendWord) parseOption(s string) error {
	option, value, _ := strings.Cut(s, "=")
	var said *bool
	var err error
	switch option {
	case "weight":
		said = &w.saysWeight
		w.Weight, err = parseWeight(value)
	case "state":
		said = &w.saysState
		w.State, err = parseState(value)
	default:
		return Errorf(ErrSyntax, "%q is no option of a backend; there are weight=N and state=draining", s)
	}
	if *said {
		return Errorf(ErrSyntax, "%s is given twice; give it once", option)
	}
	*said = true
	return err
}

func parseWeight(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n > maxWeight || strconv.FormatUint(n, 10) != s {
		return 0, Errorf(ErrSyntax, "weight %q is not a number from 0 to %d; write one, as in weight=3", s, maxWeight)
	}
	return uint16(n), nil
}

func parseState(s string) (BackendState, error) {
	switch state := BackendState(s); state {
	case BackendActive, BackendDraining:
		return state, nil
	}
	return "", Errorf(ErrSyntax, "state %q is unknown; choose active or draining", s)
}

// String returns the backend as ParseBackend reads it, without what goes
// without saying: 30080 or [2001:db8::9]:80,weight=3,state=draining.
func (b Backend) String() string {
	s := b.Place()
	if b.Weight != defaultWeight {
		s += ",weight=" + strconv.Itoa(int(b.Weight))
	}
	if b.State == BackendDraining && b.Weight != 0 {
		s += ",state=" + string(b.State)
	}
	return s
}

// Place returns where the backend is, as ParseBackend reads it. No two backends
// of a forward are in one place.
func (b Backend) Place() string {
	return joinAddress(b.Address, b.Ports.String())
}

// Label is String for people, who are told what no address means, and what checks have
// found to be down: this host:30080 (down).
func (b Backend) Label() string {
	return b.forPeople(b.String()) + b.downLabel()
}

func (b Backend) downLabel() string {
	if b.Health == HealthDown {
		return " (down)"
	}
	return ""
}

// PlaceLabel is Place for people.
func (b Backend) PlaceLabel() string {
	return b.forPeople(b.Place())
}

// StateLabel is the state for people, who are told when a backend that drains has no
// connection any more, and when one that should serve is down.
func (b Backend) StateLabel(use BackendUse) string {
	switch {
	case b.State == BackendDraining && use.Connections.Active == 0:
		return "drained"
	case b.State == BackendActive && b.Health == HealthDown:
		return string(HealthDown)
	}
	return string(b.State)
}

func (b Backend) forPeople(s string) string {
	if b.Address.IsValid() {
		return s
	}
	return "this host:" + s
}

// Compare orders backends by address (none first), ports, weight and state.
func (b Backend) Compare(o Backend) int {
	return cmp.Or(
		b.Address.Compare(o.Address),
		b.Ports.Compare(o.Ports),
		cmp.Compare(b.Weight, o.Weight),
		cmp.Compare(b.State, o.State),
	)
}

// backendKey is the place of a backend as the key of a Go map.
type backendKey struct {
	address netip.Addr
	ports   PortRange
}

func (b Backend) key() backendKey {
	return backendKey{b.Address, b.Ports}
}

// wished is the backend as its user wants it, without what checks have found out.
func (b Backend) wished() Backend {
	b.Health = ""
	return b
}

// canonical sets the state that goes without saying.
func (b Backend) canonical() Backend {
	switch {
	case b.Weight == 0:
		b.State = BackendDraining
	case b.State == "":
		b.State = BackendActive
	}
	return b
}
