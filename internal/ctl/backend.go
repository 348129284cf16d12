// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"cmp"
	"strconv"
	"strings"
)

const (
	defaultWeight = 1
	maxWeight     = 1000
)

// ParseBackend parses [ADDRESS:]PORT[-PORT][,weight=N]. The backend is active
// and has weight 1 unless told otherwise. Errors are ErrSyntax.
func ParseBackend(s string) (Backend, error) {
	backend, err := parseBackend(s)
	if err != nil {
		return Backend{}, Errorf(ErrSyntax, "backend %q: %w", s, err)
	}
	return backend, nil
}

func parseBackend(s string) (Backend, error) {
	where, options, hasOptions := strings.Cut(s, ",")
	backend := Backend{Weight: defaultWeight, State: BackendActive}
	if strings.Contains(where, "/") {
		return Backend{}, Errorf(ErrSyntax, "a backend has the protocol of its frontend; leave the slash and what follows it out")
	}
	address, rest, err := splitAddress(where)
	if err != nil {
		return Backend{}, err
	}
	backend.Address = address
	if backend.Ports, err = parsePorts(rest); err != nil {
		return Backend{}, err
	}
	if hasOptions {
		weight, found := strings.CutPrefix(options, "weight=")
		if !found {
			return Backend{}, Errorf(ErrSyntax, "%q is no option of a backend; the only one is weight=N", options)
		}
		if backend.Weight, err = parseWeight(weight); err != nil {
			return Backend{}, err
		}
	}
	return backend, nil
}

func parseWeight(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n > maxWeight || strconv.FormatUint(n, 10) != s {
		return 0, Errorf(ErrSyntax, "weight %q is not a number from 0 to %d; write one, as in weight=3", s, maxWeight)
	}
	return uint16(n), nil
}

// String returns the backend as ParseBackend reads it: 30080 or
// [2001:db8::9]:80,weight=3. The state is not part of it.
func (b Backend) String() string {
	s := joinAddress(b.Address, b.Ports.String())
	if b.Weight != defaultWeight {
		s += ",weight=" + strconv.Itoa(int(b.Weight))
	}
	return s
}

// Label is String for people, who are told what no address means: this
// host:30080.
func (b Backend) Label() string {
	if b.Address.IsValid() {
		return b.String()
	}
	return "this host:" + b.String()
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
