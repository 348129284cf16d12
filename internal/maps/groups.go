// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// GroupBackend is where a client of a group of forwards comes to by one of these, if it
// stays with a machine.
type GroupBackend struct {
	Forward uint32
	// Machine is the address of the backend; the zero Addr is this host.
	Machine netip.Addr
	// Backend and Generation are the slot's.
	Backend, Generation uint32
}

// PutGroupBackends makes these the only ones. There is one of a forward at a machine.
func (s *Set) PutGroupBackends(all []GroupBackend) error {
	want := make(map[bpf.XfwdGroupBackendKey]bpf.XfwdGroupBackend, len(all))
	for _, b := range all {
		key := bpf.XfwdGroupBackendKey{Machine: addressToKernel(b.Machine), Forward: b.Forward}
		want[key] = bpf.XfwdGroupBackend{Backend: b.Backend, Generation: b.Generation}
	}
	return replace(s.maps.GroupBackends, want)
}
