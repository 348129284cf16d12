// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"strings"

	"github.com/xfwd/xfwd/bpf"
)

// KnownDevice is how a device is recognised that may have another name by now.
type KnownDevice struct {
	// Ifindex is its number in its namespace, or zero for no device.
	Ifindex uint32
	// Identity differs for another device that may have got the number.
	Identity uint64
}

func devicesFromKernel(info *bpf.XfwdForwardInfo) (names []string, known []KnownDevice) {
	if info.Devices[0] == 0 {
		return nil, nil // as most forwards
	}
	rest := string(info.Devices[:])
	for i := range MaxDevices {
		name, after, _ := strings.Cut(rest, "\x00")
		if name == "" {
			break
		}
		names = append(names, name)
		known = append(known, KnownDevice{Ifindex: info.DeviceIfindexes[i], Identity: info.DeviceIdentities[i]})
		rest = after
	}
	return names, known
}

func devicesToKernel(info *bpf.XfwdForwardInfo, names []string, known []KnownDevice) {
	room := info.Devices[:]
	for _, name := range names {
		n := copy(room, name)
		room = room[min(n+1, len(room)):]
	}
	for i, k := range known {
		info.DeviceIfindexes[i], info.DeviceIdentities[i] = k.Ifindex, k.Identity
	}
}
