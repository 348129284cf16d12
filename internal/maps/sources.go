// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"net/netip"

	"github.com/xfwd/xfwd/bpf"
)

// MaxSourceAddresses is how many addresses the masqueraded flows of a forward can have.
const MaxSourceAddresses = len(bpf.XfwdSourcePool{}.Addresses)

// SourcePool are the addresses of this host, of one family, that the masqueraded flows of a
// forward have.
type SourcePool struct {
	Forward   uint32
	Addresses []netip.Addr
}

// PutSourcePools makes these the only ones. None is empty, and there is one of a forward and a
// family.
func (s *Set) PutSourcePools(all []SourcePool) error {
	want := make(map[bpf.XfwdSourcePoolKey]bpf.XfwdSourcePool, len(all))
	for _, p := range all {
		key := bpf.XfwdSourcePoolKey{Forward: p.Forward, Family: IPv6}
		if p.Addresses[0].Is4() {
			key.Family = IPv4
		}
		pool := bpf.XfwdSourcePool{Count: uint32(len(p.Addresses))}
		for i, a := range p.Addresses {
			pool.Addresses[i] = addressToKernel(a)
		}
		want[key] = pool
	}
	return replace(s.maps.SourcePools, want)
}

// sourcesFromKernel returns the addresses that a user has chosen.
func sourcesFromKernel(k *bpf.XfwdForwardInfo) []netip.Addr {
	var all []netip.Addr
	for _, word := range k.SourceAddresses {
		if a := addressFromKernel(word); a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}
