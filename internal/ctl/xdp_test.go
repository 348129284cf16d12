// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"maps"
	"strings"
	"testing"
)

func TestParseXDPModes(t *testing.T) {
	for words, want := range map[string]XDPModes{
		"":                       {},
		"native":                 {"": "native"},
		"eth1=off auto eth0=off": {"": "auto", "eth0": "off", "eth1": "off"},
		"a=b=generic":            {"a=b": "generic"},
	} {
		got, err := ParseXDPModes(strings.Fields(words))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q is %v, %v, want %v", words, got, err, want)
		}
		if again, err := ParseXDPModes(got.Words()); err != nil || !maps.Equal(again, want) {
			t.Errorf("%q is written as %v", words, got.Words())
		}
	}
}

func TestParseXDPModesRefuses(t *testing.T) {
	for words, why := range map[string]string{
		"fast":               `XDP mode "fast" is unknown; choose auto, native, generic or off`,
		"eth0=":              `XDP mode "" is unknown; choose auto, native, generic or off`,
		"=native":            "a device has no name; give a name that `ip link` shows",
		"native off":         "off is the second XDP mode for the same devices; give one",
		"eth0=off eth0=auto": "eth0=auto is the second XDP mode for the same devices; give one",
	} {
		_, err := ParseXDPModes(strings.Fields(words))
		checkError(t, err, ErrSyntax, why)
	}
}
