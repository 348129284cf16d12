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

// Every flag reaches the programs.
func TestDeviceFlags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		device Device
		want   bpf.XfwdDeviceFlag
	}{
		"Ethernet":      {Device{Ethernet: true}, bpf.XfwdDeviceFlagDEVICE_ETHERNET},
		"peer":          {Device{Peer: true}, bpf.XfwdDeviceFlagDEVICE_PEER},
		"XDP":           {Device{XDP: true}, bpf.XfwdDeviceFlagDEVICE_XDP},
		"routes all 4":  {Device{RoutesAll4: true}, bpf.XfwdDeviceFlagDEVICE_ROUTES_ALL4},
		"routes all 6":  {Device{RoutesAll6: true}, bpf.XfwdDeviceFlagDEVICE_ROUTES_ALL6},
		"route's MTU 4": {Device{RouteMTU4: true}, bpf.XfwdDeviceFlagDEVICE_ROUTE_MTU4},
		"route's MTU 6": {Device{RouteMTU6: true}, bpf.XfwdDeviceFlagDEVICE_ROUTE_MTU6},
		"stacked":       {Device{Stacked: true}, bpf.XfwdDeviceFlagDEVICE_STACKED},
		"strict":        {Device{Sources: FilterStrictly}, bpf.XfwdDeviceFlagDEVICE_SOURCE_THERE4},
		"loose":         {Device{Sources: FilterLoosely}, bpf.XfwdDeviceFlagDEVICE_SOURCE_ROUTED4},
	} {
		if got := bpf.XfwdDeviceFlag(c.device.toKernel().Flags); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
