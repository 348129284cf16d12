// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/internal/ctl"
)

// What --xdp or a file says reaches the dataplane; where both speak of a device,
// the command line is right.
func TestXDPModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	file := "apiVersion: xfwd/v1\nxdp: [off, eth0=native]\nforwards: []\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]ctl.XDPModes{
		"add 80 1":                                   {"eth1": "off"},
		"add 80 1 --dry-run --xdp native":            {"eth1": "off"},
		"add 80 1 --xdp native --xdp eth0=generic":   {"": "native", "eth0": "generic", "eth1": "off"},
		"add 80 30080 --name web --xdp eth1=auto":    {"eth1": "auto"},
		"apply -f FILE":                              {"": "off", "eth0": "native", "eth1": "off"},
		"apply -f FILE --xdp auto --xdp eth1=native": {"": "auto", "eth0": "native", "eth1": "native"},
		"restore FILE --xdp eth0=auto":               {"": "off", "eth0": "auto", "eth1": "off"},
	} {
		f := newFake(t, "apiVersion: xfwd/v1\nxdp: [eth1=off]\nforwards: []\n")
		got := f.test(t.Context(), nil, strings.Fields(strings.ReplaceAll(args, "FILE", path))...)
		if got.status != 0 || !maps.Equal(f.xdp, want) {
			t.Errorf("%s: %+v, modes %v, want %v", args, got, f.xdp, want)
		}
	}
}
