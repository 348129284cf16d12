// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// Listener is a socket that waits for clients.
type Listener struct {
	Protocol uint8
	Local    netip.AddrPort
}

// PutLoopbackListeners makes the programs know these listeners, which are bound to
// the device lo, and no others. What the map has no room for is left out.
func (s *Set) PutLoopbackListeners(listeners []Listener) error {
	listeners = listeners[:min(len(listeners), int(s.maps.LoopbackListeners.MaxEntries()))]
	want := make(map[bpf.XfwdListener]uint8, len(listeners))
	for _, l := range listeners {
		want[bpf.XfwdListener{
			Address:  addressToKernel(l.Local.Addr()),
			Port:     portToKernel(l.Local.Port()),
			Protocol: l.Protocol,
		}] = 1
	}
	return replace(s.maps.LoopbackListeners, want)
}
