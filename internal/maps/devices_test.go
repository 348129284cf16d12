// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"slices"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/bpf"
)

// What is written of a forward's devices is read again, up to what there is room for.
func TestDevices(t *testing.T) {
	eight := make([]string, MaxDevices)
	known := make([]KnownDevice, MaxDevices)
	for i := range eight {
		eight[i] = strings.Repeat(string(rune('a'+i)), 15)
		known[i] = KnownDevice{Ifindex: uint32(i + 1), Identity: uint64(i) << 40}
	}
	for _, test := range []struct {
		names []string
		known []KnownDevice
	}{
		{nil, nil},
		{[]string{"eth0"}, []KnownDevice{{2, 1 << 63}}},
		{[]string{"ppp+", "wan0"}, []KnownDevice{{}, {3, 7}}},
		{[]string{strings.Repeat("a", 127), strings.Repeat("b", 127)}, []KnownDevice{{1, 2}, {3, 4}}},
		{eight, known},
	} {
		var info bpf.XfwdForwardInfo
		devicesToKernel(&info, test.names, test.known)
		names, known := devicesFromKernel(&info)
		if !slices.Equal(names, test.names) || !slices.Equal(known, test.known) {
			t.Errorf("got %q %v, want %q %v", names, known, test.names, test.known)
		}
	}
}
