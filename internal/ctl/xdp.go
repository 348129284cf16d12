// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/xfwd/xfwd/internal/loader"
)

// XDPMode says how XDP shall be used on a device.
type XDPMode = loader.XDPMode

// XDPModes are the modes of devices, by their names. The empty name is every
// device that has no mode of its own.
type XDPModes map[string]XDPMode

// XDPChoices returns the choices of --xdp, the default first.
func XDPChoices() []XDPMode {
	return []XDPMode{loader.XDPAuto, loader.XDPNative, loader.XDPGeneric, loader.XDPOff}
}

// ParseXDPModes parses words that are each DEVICE=MODE, or MODE for all other
// devices. Errors are
// ErrSyntax.
func ParseXDPModes(words []string) (XDPModes, error) {
	modes := XDPModes{}
	for i, word := range words {
		if err := modes.parse(word); err != nil {
			return nil, atItem(keyXDP, i, err)
		}
	}
	return modes, nil
}

func (m XDPModes) parse(word string) error {
	device, mode := "", XDPMode(word)
	if i := strings.LastIndexByte(word, '='); i >= 0 {
		device, mode = word[:i], XDPMode(word[i+1:])
		if err := checkMainName(device); err != nil {
			return err
		}
	}
	if !slices.Contains(XDPChoices(), mode) {
		return Errorf(ErrSyntax, "XDP mode %q is unknown; choose %s", mode, orList(XDPChoices()))
	}
	if _, found := m[device]; found {
		return Errorf(ErrSyntax, "%s is the second XDP mode for the same devices; give one", word)
	}
	m[device] = mode
	return nil
}

// Words returns the words of which ParseXDPModes makes the same modes, sorted by
// device.
func (m XDPModes) Words() []string {
	var words []string
	for _, device := range slices.Sorted(maps.Keys(m)) {
		word := string(m[device])
		if device != "" {
			word = device + "=" + word
		}
		words = append(words, word)
	}
	return words
}

// And returns the modes of both; where both have one, it is the other's.
func (m XDPModes) And(other XDPModes) XDPModes {
	both := XDPModes{}
	maps.Copy(both, m)
	maps.Copy(both, other)
	return both
}

// XDP returns the modes that the instance was told. One that is not loaded knows
// none.
func (i *Instance) XDP(ctx context.Context) (XDPModes, error) {
	var modes XDPModes
	err := i.read(ctx, func(d *loader.Dataplane) error {
		var err error
		modes, err = d.XDP()
		return err
	})
	return modes, err
}
